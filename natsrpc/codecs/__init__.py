"""Bytes to typed values and back: the codecs and their registry.

The class of a built-in codec is loaded when its name is first used, as in the registry: the import
of this room brings in neither pydantic nor msgpack.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .codec import BindCache, Bound, Codec
from .described import Described, described
from .fields import REQUIRED, Factory, Fields, fields
from .registry import by_content_type, get, load, names, register
from .suitability import holds, reads_text

if TYPE_CHECKING:
    from .json import JsonCodec
    from .msgpack import MsgpackCodec
    from .protobuf import ProtobufCodec
    from .raw import RawCodec
    from .text import TextCodec
else:
    _HOMES = {
        "JsonCodec": ".json",
        "MsgpackCodec": ".msgpack",
        "ProtobufCodec": ".protobuf",
        "RawCodec": ".raw",
        "TextCodec": ".text",
    }

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_HOMES[name], __name__), name)
        return value


__all__ = [
    "REQUIRED",
    "BindCache",
    "Bound",
    "Codec",
    "Described",
    "Factory",
    "Fields",
    "JsonCodec",
    "MsgpackCodec",
    "ProtobufCodec",
    "RawCodec",
    "TextCodec",
    "by_content_type",
    "described",
    "fields",
    "get",
    "holds",
    "load",
    "names",
    "reads_text",
    "register",
]

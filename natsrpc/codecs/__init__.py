"""Bytes to typed values and back: the codecs and their registry.

The class of a built-in codec is loaded when its name is first used, as in the registry: the import
of this room brings in neither pydantic nor msgpack.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .codec import BindCache, Bound, Codec
from .fields import REQUIRED, Factory, Fields, fields
from .registry import by_content_type, get, load, names, register

# for the rooms above, which read signatures; they are not for users
from .described import described as described  # isort: skip
from .named import also_named as also_named, nameless as nameless  # isort: skip
from .suitability import holds as holds, reads_text as reads_text  # isort: skip

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
    "Factory",
    "Fields",
    "JsonCodec",
    "MsgpackCodec",
    "ProtobufCodec",
    "RawCodec",
    "TextCodec",
    "by_content_type",
    "fields",
    "get",
    "load",
    "names",
    "register",
]

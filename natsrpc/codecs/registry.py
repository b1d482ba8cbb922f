"""Codecs by name and by content type. The last one registered under a name wins."""

from __future__ import annotations

from natsrpc.errors import ConfigTypeError, UnknownCodecError

from .codec import Codec
from .json import JsonCodec
from .msgpack import MsgpackCodec
from .protobuf import ProtobufCodec
from .raw import RawCodec
from .text import TextCodec

_NEVER = {
    "gob": "gob is a format of Go alone; 'msgpack' is the compact binary codec here",
    "pickle": "loading a pickle from the network runs its sender's code; use 'msgpack' or 'json'",
}

_by_name: dict[str, Codec] = {}
_by_content_type: dict[str, Codec] = {}


def register(name: str, codec: Codec) -> None:
    """Make `codec` known by `name` and by its content type.

    Raises:
        ConfigTypeError: `codec` lacks part of the `Codec` protocol, or `name` is empty.
    """
    if not name:
        raise ConfigTypeError("a codec's name must not be empty")
    _check(codec)
    _by_name[name] = codec
    _by_content_type[_essence(codec.content_type)] = codec


def get(codec: str | Codec) -> Codec:
    """Return the codec of that name or content type; a codec object is returned as it is.

    Raises:
        UnknownCodecError: nothing is registered under that name.
        ConfigTypeError: neither a string nor a codec.
    """
    if not isinstance(codec, str):
        return _check(codec)
    found = _by_name.get(codec) or by_content_type(codec)
    if found is None:
        known = ", ".join(sorted(map(repr, _by_name)))
        hint = _NEVER.get(codec.lower(), f"known are {known}")
        raise UnknownCodecError(f"unknown codec {codec!r}: {hint}")
    return found


def by_content_type(content_type: str) -> Codec | None:
    """Return the codec for a `Content-Type` header's value, or None.

    Parameters as in "; charset=utf-8" are ignored, and so is case; a "+json" suffix is JSON.
    """
    found = _by_content_type.get(content_type)
    if found is not None:
        return found
    essence = _essence(content_type)
    found = _by_content_type.get(essence)
    if found is None and essence.endswith("+json"):
        found = _by_content_type.get("application/json")
    return found


def names() -> list[str]:
    """Return the names registered, sorted."""
    return sorted(_by_name)


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check(codec: Codec) -> Codec:
    if isinstance(codec, type) or not isinstance(codec, Codec):
        raise ConfigTypeError(
            f"{codec!r} is not a codec: it needs name, content_type, bind() and schema()"
        )
    return codec


def _register_built_in() -> None:
    text = TextCodec()
    msgpack = MsgpackCodec()
    register("json", JsonCodec())
    register("msgpack", msgpack)
    register("protobuf", ProtobufCodec())
    register("raw", RawCodec())
    register("text", text)
    _by_name["default"] = text
    _by_content_type["text/json"] = _by_name["json"]
    for alias in ("application/vnd.msgpack", "application/x-msgpack"):
        _by_content_type[alias] = msgpack
    for alias in ("application/x-protobuf", "application/vnd.google.protobuf"):
        _by_content_type[alias] = _by_name["protobuf"]


_register_built_in()

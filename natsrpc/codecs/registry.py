"""Codecs by name and by content type. Services and clients look their codec up here.

The codec registered last under a name or content type is the one found. The built-in codecs are
loaded when they are first looked up: JSON and MessagePack bring in pydantic, which takes as long to
load as all the rest of a client. A request names its codec itself, so a server calls `load` before
it takes the first, and no request waits for that.
"""

from __future__ import annotations

import importlib

from natsrpc.errors import ConfigTypeError, UnknownCodecError

from .codec import Codec

# Formats that people look for in vain, and why.
_NEVER = {
    "gob": "gob is a format of Go alone; 'msgpack' is the compact binary codec here",
    "pickle": "loading a pickle from the network runs its sender's code; use 'msgpack' or 'json'",
}

_CLASSES = {
    "json": "JsonCodec",
    "msgpack": "MsgpackCodec",
    "protobuf": "ProtobufCodec",
    "raw": "RawCodec",
    "text": "TextCodec",
}
"""The built-in codecs, each in the module of its name."""

_NAMES = {name: name for name in _CLASSES} | {"default": "text"}
_CONTENT_TYPES = {
    "application/json": "json",
    "text/json": "json",
    "application/msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/protobuf": "protobuf",
    "application/vnd.google.protobuf": "protobuf",
    "application/x-protobuf": "protobuf",
    "application/octet-stream": "raw",
    "text/plain": "text",
}

_built_in: dict[str, Codec] = {}
_by_name: dict[str, Codec] = {}
_by_content_type: dict[str, Codec] = {}


def register(name: str, codec: Codec) -> None:
    """Register `codec` under `name` and under its content type.

    Raises:
        ConfigTypeError: `codec` lacks part of the `Codec` protocol, or `name` is empty.
    """
    if not name:
        raise ConfigTypeError("a codec's name must not be empty")
    _check(codec)
    _by_name[name] = codec
    _by_content_type[_essence(codec.content_type)] = codec


def get(codec: str | Codec) -> Codec:
    """Return the codec of that name or content type. A codec object is returned itself.

    Raises:
        UnknownCodecError: no codec has that name or content type.
        ConfigTypeError: `codec` is neither a string nor a codec.
    """
    if not isinstance(codec, str):
        return _check(codec)
    found = _by_name.get(codec)
    if found is None and codec in _NAMES:
        found = _by_name[codec] = _load(_NAMES[codec])
    found = found or by_content_type(codec)
    if found is None:
        known = ", ".join(map(repr, names()))
        hint = _NEVER.get(codec.lower(), f"known are {known}")
        raise UnknownCodecError(f"unknown codec {codec!r}: {hint}")
    return found


def by_content_type(content_type: str) -> Codec | None:
    """Return the codec for the value of a `Content-Type` header, or None.

    Case and parameters (as in "; charset=utf-8") are ignored. A media type that ends in "+json" is
    JSON.

    Ref: RFC 6839, section 3.1 ("+json").
    """
    found = _by_content_type.get(content_type)
    if found is not None:
        return found
    essence = _essence(content_type)
    found = _by_content_type.get(essence)
    if found is None and essence in _CONTENT_TYPES:
        found = _by_content_type[essence] = _load(_CONTENT_TYPES[essence])
    if found is None and essence.endswith("+json"):
        found = by_content_type("application/json")
    return found


def names() -> list[str]:
    """Return the names of all codecs, sorted, those of codecs not yet loaded included."""
    return sorted(_NAMES.keys() | _by_name)


def load() -> None:
    """Load all built-in codecs but "default", which is "text" by another name.

    It takes about 0.1 s, nearly all of it for pydantic.
    """
    for content_type in _CONTENT_TYPES:
        by_content_type(content_type)


def _load(name: str) -> Codec:
    """Return the built-in codec of that name: the same object for all its names."""
    found = _built_in.get(name)
    if found is None:
        module = importlib.import_module(f".{name}", __package__)
        found = _built_in[name] = getattr(module, _CLASSES[name])()
    return found


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check(codec: Codec) -> Codec:
    if isinstance(codec, type) or not isinstance(codec, Codec):
        raise ConfigTypeError(
            f"{codec!r} is not a codec: it needs name, content_type, bind() and schema()"
        )
    return codec

"""Bytes to typed values and back: the codecs and their registry."""

from .codec import BindCache, Bound, Codec
from .fields import REQUIRED, Fields, fields
from .json import JsonCodec
from .msgpack import MsgpackCodec
from .protobuf import ProtobufCodec
from .raw import RawCodec
from .registry import by_content_type, get, names, register
from .text import TextCodec

__all__ = [
    "REQUIRED",
    "BindCache",
    "Bound",
    "Codec",
    "Fields",
    "JsonCodec",
    "MsgpackCodec",
    "ProtobufCodec",
    "RawCodec",
    "TextCodec",
    "by_content_type",
    "fields",
    "get",
    "names",
    "register",
]

"""The codec "protobuf": Protocol Buffers messages, of the generated class that is annotated.

The package `protobuf` comes with the extra of that name. It is imported when a message class is
first bound.

Ref: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

from natsrpc.errors import ConfigError, ConfigTypeError, DecodeError, EncodeError

from .codec import Bound, Mode
from .raw import bind_plain, unchanged


class ProtobufCodec:
    """The codec "protobuf": Protocol Buffers messages."""

    name = "protobuf"
    content_type = "application/protobuf"

    def bind(self, type_: Any) -> Bound:
        """Bind a generated message class, or a type of `bind_plain`, or `Any`.

        `Any` encodes every message, and None to the empty payload; it decodes to bytes, because the
        format does not say of which class a message is.

        Raises:
            ConfigTypeError: it is any other type.
            ConfigError: the `protobuf` package is not installed.
        """
        plain = bind_plain(type_)
        if plain is not None:
            return plain
        message = _message_class()
        if type_ is Any or type_ is object:
            return Bound(_make_encode(message, optional=True), unchanged)
        if not (isinstance(type_, type) and issubclass(type_, message)):
            raise ConfigTypeError(f"the protobuf codec carries messages only, not {type_!r}")
        return Bound(_make_encode(type_), _make_decode(type_))

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return None: a message is described by its .proto file."""
        return None


def _message_class() -> Any:
    try:
        from google.protobuf.message import Message  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise ConfigError(
            "the protobuf codec needs the extra: pip install 'natsrpc[protobuf]'"
        ) from error
    return Message


def _make_encode(cls: Any, *, optional: bool = False) -> Any:
    def encode(value: Any) -> bytes:
        if not isinstance(value, cls):
            if optional and value is None:
                return b""
            raise EncodeError(
                f"expected a protobuf message ({cls.__name__}), "
                f"not a value of type {type(value).__name__}"
            )
        try:
            out: bytes = value.SerializeToString()
        except Exception as error:  # a required field is missing, a string is not UTF-8
            raise EncodeError(f"cannot encode {cls.__name__}: {error}") from error
        return out

    return encode


def _make_decode(cls: Any) -> Any:
    parse = cls.FromString

    def decode(data: bytes) -> Any:
        try:
            message = parse(data)
        except Exception:
            raise DecodeError(f"not a protobuf {cls.__name__}", malformed=True) from None
        if not message.IsInitialized():
            missing = message.FindInitializationErrors()
            raise DecodeError(
                f"cannot decode {cls.__name__}: required fields are missing",
                errors=[{"path": path, "reason": "Field required"} for path in missing],
            )
        return message

    return decode

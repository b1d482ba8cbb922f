"""The codec "raw": the payload is the value.

Also here is `bind_plain`, which every other codec's `bind` calls first: `bytes` and `None` mean the
raw and the empty payload in every format.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from natsrpc.errors import ConfigTypeError, EncodeError

from .codec import Bound, Mode

_BYTES_LIKE = (bytes, bytearray, memoryview)


def bind_plain(type_: Any) -> Bound | None:
    """Bind a type that means the same in every codec; return None for any other type.

    These types are `None`, `bytes`, `bytearray`, `memoryview` and `bytes | None`.
    """
    if type_ is None or type_ is NoneType:
        return Bound(_encode_none, _decode_none)
    if any(type_ is each for each in _BYTES_LIKE):
        return Bound(_encode_bytes, unchanged if type_ is bytes else type_)
    if type_ == bytes | None:
        return Bound(_encode_optional, _decode_optional)
    return None


class RawCodec:
    """The codec "raw": bytes, neither read nor changed."""

    name = "raw"
    content_type = "application/octet-stream"

    def bind(self, type_: Any) -> Bound:
        """Bind `bytes`, `bytearray`, `memoryview`, `bytes | None`, `None` or `Any`.

        Raises:
            ConfigTypeError: it is any other type.
        """
        bound = bind_plain(type_)
        if bound is not None:
            return bound
        if type_ is Any or type_ is object:
            return Bound(_encode_optional, unchanged)
        raise ConfigTypeError(
            f"the raw codec carries bytes only, not {type_!r}; use 'json', 'msgpack' or 'text'"
        )

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return None: bytes have no JSON Schema."""
        return None


def _encode_none(value: object) -> bytes:
    if value is not None:
        raise EncodeError(f"expected None, not a value of type {type(value).__name__}")
    return b""


def _decode_none(data: bytes) -> None:
    return None


def _encode_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, _BYTES_LIKE):
        return bytes(value)
    raise EncodeError(f"expected bytes, not a value of type {type(value).__name__}")


def _encode_optional(value: Any) -> bytes:
    return b"" if value is None else _encode_bytes(value)


def unchanged(data: bytes) -> bytes:
    """Return the payload: decodes `bytes`, and `Any` where the format does not tell the type."""
    return data


def _decode_optional(data: bytes) -> bytes | None:
    return data or None

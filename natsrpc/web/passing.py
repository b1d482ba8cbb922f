"""Bodies between HTTP and a service: JSON outside, the service's codec inside.

A body that is JSON on both sides passes as it is, unread: the service reads and checks it anyhow.
Of MessagePack, which has bytes where JSON has a text, the contract's schema says which texts those
are. Raw bytes pass as they are by any codec.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.describe import Node, is_raw, local_definition
from natsrpc.errors import DecodeError, EncodeError

__all__ = ["Item", "MalformedError", "PassingCodec", "codec_for", "json_of", "read_json"]

JSON = "application/json"
MSGPACK = "application/msgpack"
RAW = "application/octet-stream"

Convert = Callable[[bytes], bytes]


class MalformedError(EncodeError):
    """The body of a request is no JSON."""


class Item:
    """The type, in a route's contract, of the items that are sent; all other bodies are bytes."""


class PassingCodec:
    """A codec whose values are bodies of HTTP, as bytes.

    Args:
        name: the codec that it stands for.
        content_type: of the bodies that the service gets.
        encode: makes a body for the service of what came over HTTP.
        encode_item: the same for an item of a stream.
        decode: makes a body for HTTP of what the service answered.
    """

    def __init__(
        self, name: str, content_type: str, encode: Convert, encode_item: Convert, decode: Convert
    ) -> None:
        self.name: str = name
        self.content_type: str = content_type
        self._bound = codecs.Bound(encode, decode)
        self._item = codecs.Bound(encode_item, decode)

    def bind(self, type_: Any) -> codecs.Bound:
        """The functions for `Item`, or for any other body."""
        return self._item if type_ is Item else self._bound

    def schema(
        self, type_: Any, *, mode: Literal["validation", "serialization"] = "validation"
    ) -> None:
        """None: a contract tells the schemas of these bodies."""


def _same(data: bytes) -> bytes:
    return data


_texts = codecs.get("json").bind(list[bytes])

_JSON = PassingCodec("json", JSON, _same, _same, _same)
_RAW = PassingCodec("raw", RAW, _same, _same, _same)


def codec_for(content_type: str, request: Node | None, items: Node | None,
              response: Node | None) -> PassingCodec:  # fmt: skip
    """The codec to call an endpoint with.

    What is neither MessagePack nor raw gets JSON, which every service of natsrpc reads that was not
    told otherwise.

    Args:
        content_type: the endpoint's own.
        request, items, response: the schemas of its bodies.
    """
    if content_type == RAW:
        return _RAW
    if content_type != MSGPACK:
        return _JSON
    decode = _same if is_raw(response) else json_of
    return PassingCodec("msgpack", MSGPACK, _packing(request), _packing(items), decode)


def _packing(node: Node | None) -> Convert:
    """Makes MessagePack of a JSON body with this schema."""
    if is_raw(node):
        return _same
    encode, whole = codecs.get("msgpack").bind(Any).encode, node or {}

    def pack(data: bytes) -> bytes:
        if not data:
            return data
        value = read_json(data)
        try:
            return encode(_with_bytes(value, whole, whole))
        except RecursionError:
            raise EncodeError("it is nested too deeply") from None

    return pack


def json_of(data: bytes) -> bytes:
    """A body of MessagePack as JSON.

    Raises:
        DecodeError: it is none, or has no form in JSON.
    """
    if not data:
        return data
    value = codecs.get("msgpack").bind(Any).decode(data)
    try:
        return json.dumps(_plain(value), allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise DecodeError("it has no form in JSON") from None


def read_json(data: bytes) -> Any:
    """A value of JSON.

    Raises:
        MalformedError: it is none.
    """
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the body is no JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _with_bytes(value: Any, node: Any, whole: Node) -> Any:
    """A value with bytes where its schema says that a text is base64."""
    node = local_definition(node, whole)
    if isinstance(value, str):
        return _unpacked(value) if _is_base64(node, whole) else value
    if isinstance(value, list):
        inner = node.get("items")
        return [_with_bytes(each, inner, whole) for each in value] if inner else value
    if isinstance(value, dict):
        fields, rest = node.get("properties") or {}, node.get("additionalProperties")
        return {k: _with_bytes(v, fields.get(k, rest), whole) for k, v in value.items()}
    return value


def _is_base64(node: Node, whole: Node) -> bool:
    """Whether a schema says that a text is base64; also as one of several that it allows."""
    if node.get("contentEncoding") == "base64":
        return True
    either = node.get("anyOf")
    if not isinstance(either, list) or len(either) > 8:
        return False
    inner = [local_definition(each, whole) for each in either]
    texts = [each for each in inner if each.get("type") == "string"]
    return bool(texts) and all(each.get("contentEncoding") == "base64" for each in texts)


def _unpacked(text: str) -> bytes:
    """The bytes of base64, in either alphabet, as a service that speaks JSON reads them."""
    try:
        found: list[bytes] = _texts.decode(json.dumps([text]).encode())
    except DecodeError:
        raise EncodeError(f"{text[:40]!r} is no base64") from None
    return found[0]


def _plain(value: Any) -> Any:
    """A value of MessagePack as JSON has it: bytes are base64, keys are texts."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)

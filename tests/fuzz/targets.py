"""What strangers' bytes reach: each target takes any bytes, and raises nothing but errors of ours.

A target also checks what must hold for all bytes: that cutting a stream changes nothing, that what
is read can be written and read again. `engine` feeds them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.struct_pb2 import Struct
from pydantic import BaseModel, Field

from natsrpc import codecs
from natsrpc.core import Headers, Msg, Options
from natsrpc.core.servers.pool import ServerPool, parse_servers
from natsrpc.core.session.creds import claims, find, is_bearer
from natsrpc.core.session.server_errors import classify
from natsrpc.core.wire import Parser, ServerInfo
from natsrpc.core.wire.headers import status_of
from natsrpc.discovery import ServiceInfo, ServiceStats
from natsrpc.discovery.reader import read
from natsrpc.errors import (
    BadHeaderError,
    ConfigError,
    DecodeError,
    RemoteProtocolError,
    RpcError,
)
from natsrpc.rpc.calling.acks import stored
from natsrpc.rpc.contract.error_headers import from_wire
from natsrpc.rpc.headers import (
    is_frame,
    is_reserved,
    item_number,
    may_answer,
    read_deadline,
    read_depth,
    read_frame,
    read_max_reply,
    read_timeout,
    with_frame,
    with_time_left,
)

Target = Callable[[bytes], None]

MAX_MESSAGE = 1 << 16


class Leaf(BaseModel):
    """One model for all codecs that carry models."""

    topic: str
    number: int = Field(default=0, ge=-(2**60), le=2**60)
    ratio: float = 0.0
    kind: Literal["a", "b"] = "a"
    more: list[Leaf] = []
    raw: bytes = b""


@dataclass
class Point:
    """A dataclass, for the same."""

    x: int
    y: float | None = None


TYPES: tuple[Any, ...] = (Leaf, Point, int, str, bytes, float, bool, None, Any, list[int])
TYPES += (dict[str, Leaf], Leaf | None, tuple[int, str])


def parser(data: bytes) -> None:
    """A server's stream, cut where the first bytes say, and in one piece."""
    seed, stream = data[:2], data[2:]
    whole = Parser(max_message=MAX_MESSAGE)
    events = [_fields(event) for event in whole.feed(stream)]
    cut = Parser(max_message=MAX_MESSAGE)
    found, place, dice = [], 0, random.Random(seed)
    while place < len(stream):
        size = dice.randrange(1, 8) if dice.random() < 0.5 else dice.randrange(1, 300)
        found += [_fields(event) for event in cut.feed(stream[place : place + size])]
        place += size
    assert events == found, "cutting the stream changed what is read"
    assert (whole.failure is None) == (cut.failure is None)
    assert whole.is_between_frames == cut.is_between_frames
    assert (whole.messages, whole.message_bytes) == (cut.messages, cut.message_bytes)


def _fields(event: Any) -> Any:
    if isinstance(event, Msg):
        raw = event.raw_subject, event.sid, event.raw_reply
        return *raw, bytes(event.raw_headers), bytes(event.data)
    return type(event).__name__, getattr(event, "json", None), getattr(event, "text", None)


def info(data: bytes) -> None:
    """An INFO's JSON, and the servers that it names."""
    try:
        found = ServerInfo.parse(data)
    except RemoteProtocolError:
        return
    pool = ServerPool(Options(), random.Random(0))
    pool.update(found.connect_urls, via=pool.servers[0])
    assert len(pool.servers) <= 1000
    pool.addresses()


def headers(data: bytes) -> None:
    """A header block: what is read is written so that it reads the same."""
    found = Headers.decode(data)
    status_of(data)
    assert dict(found) == {name: found[name] for name in found}
    try:
        block = found.encode()
    except BadHeaderError:
        return
    again = Headers.decode(block)
    stripped = [(name, value.strip(" \t")) for name, value in found.items()]
    assert list(again.items()) == stripped


def frames(data: bytes) -> None:
    """The headers of natsrpc's own, of requests, frames of streams and replies."""
    found = Headers.decode(data)
    assert (read_timeout(found) or 0.0) >= 0.0
    assert read_depth(found) >= 0
    assert read_max_reply(found) >= 0
    read_deadline(found)
    is_frame(data)
    assert item_number(data) >= -1
    word, numbers = read_frame(found) or ("", ())
    assert all(number >= 0 for number in numbers)
    if word.isidentifier():
        with_frame(data, word, *numbers)
    left = with_time_left(data, 1.0)
    assert left is not None
    may_answer(data)
    is_reserved(data)


def errors(data: bytes) -> None:
    """An error reply: a header block and a body, with a NUL between."""
    block, _, body = data.partition(b"\0")
    msg = Msg("a", body)
    msg.raw_headers = block
    msg.decoded = None
    error = from_wire(msg)
    assert isinstance(error, RpcError)
    assert str(error) is not None
    stored(body, "a")


def discovery(data: bytes) -> None:
    """An answer to INFO and STATS."""
    msg = Msg("a", data)
    for kind in (ServiceInfo, ServiceStats):
        repr(read(msg, kind))


def server_error(data: bytes) -> None:
    """The text of an `-ERR`."""
    verdict = classify(data.decode("utf-8", "surrogateescape"))
    assert str(verdict.error)


def creds(data: bytes) -> None:
    """A file with credentials."""
    found = find(data.decode("utf-8", "replace"))
    is_bearer(claims(found.jwt))


def urls(data: bytes) -> None:
    """The URLs of servers."""
    try:
        servers = parse_servers(data.decode("utf-8", "replace"))
    except ConfigError:
        return
    for server in servers:
        assert server.host
        assert 0 < server.port < 65536
        assert server.has_credentials == ("***@" in server.url)


def decodes(name: str, types: tuple[Any, ...]) -> Target:
    """A codec's decode, into the type that the first byte chooses."""
    codec = codecs.get(name)
    bound = []
    for type_ in types:
        try:
            bound.append(codec.bind(type_))
        except ConfigError:
            continue
    assert bound

    def decode(data: bytes) -> None:
        chosen = bound[data[0] % len(bound)] if data else bound[0]
        try:
            value = chosen.decode(data[1:])
        except DecodeError as error:
            assert len(str(error)) < 10_000
            return
        if name in ("json", "msgpack") and type(value) in (Leaf, Point, int, bool):
            assert chosen.decode(chosen.encode(value)) == value or value != value

    return decode


TARGETS: dict[str, Target] = {
    "parser": parser,
    "info": info,
    "headers": headers,
    "frames": frames,
    "errors": errors,
    "discovery": discovery,
    "server_error": server_error,
    "creds": creds,
    "urls": urls,
    "json": decodes("json", TYPES),
    "msgpack": decodes("msgpack", TYPES),
    "text": decodes("text", (int, str, float, bool, int | None, Any)),
    "raw": decodes("raw", (bytes, Any)),
    "protobuf": decodes("protobuf", (Struct,)),
}
"""Every target, by name."""

SEEDS: dict[str, list[bytes]] = {
    "parser": [
        b'xxINFO {"server_id":"A","max_payload":1048576} \r\nPING\r\nMSG a.b 1 i.1 5\r\nhello\r\n',
        b"xxHMSG a 1 r 16 18\r\nNATS/1.0 503\r\n\r\n\r\nhi\r\n+OK\r\n-ERR 'x'\r\nPONG\r\n",
        b"xxmsg\ta  12 0\n\r\nMSG a 1 3\r\nabc\r\n" * 20,
    ],
    "info": [b'{"server_id":"A","max_payload":1,"connect_urls":["a:1","[::1]:2"],"headers":true}'],
    "headers": [b"NATS/1.0 503 No Responders\r\nA: b\r\nA:  c \r\nNatsrpc-Frame: open 1 2\r\n\r\n"],
    "frames": [
        b"NATS/1.0\r\nNatsrpc-Timeout: 5000\r\nNatsrpc-Depth: 2\r\nNatsrpc-Frame: item 7\r\n"
        b"Natsrpc-Deadline: 1790000000000\r\nNatsrpc-Max-Reply: 100\r\n\r\n",
        b"NATS/1.0\r\nNatsrpc-Frame: credit 3 4\r\n\r\n",
    ],
    "errors": [
        b"NATS/1.0\r\nNats-Service-Error: no\r\nNats-Service-Error-Code: 404\r\n"
        b'Natsrpc-Error: NotFound\r\n\r\n\0{"details":[1]}',
        b'\0{"stream":"S","seq":1}',
    ],
    "discovery": [
        b'{"type":"io.nats.micro.v1.stats_response","name":"a","id":"b","version":"1.0.0",'
        b'"metadata":{"k":"v"},"started":"2026-01-01T00:00:00.123456789Z","endpoints":[{"name":"e",'
        b'"subject":"s","queue_group":"q","num_requests":1,"processing_time":2.5,"data":{}}]}'
    ],
    "server_error": [
        b'Permissions Violation for Subscription to "a.\\"b\\x01" using queue "q" (sid "12")',
        b'Permissions Violation for Publish with Reply of "r" (sid "1")',
        b"Maximum Payload Violation",
    ],
    "creds": [
        b"-----BEGIN NATS USER JWT-----\ne30.eyJuYXRzIjp7fX0.c2ln\n------END NATS USER JWT------\n"
        b"-----BEGIN USER NKEY SEED-----\nSU" + b"A" * 56 + b"\n"
    ],
    "urls": [b"nats://u:p%2Fq@host:4222,tls://[::1]:1,token@h", b"h:1, nats://h"],
    "json": [
        b'\0{"topic":"t","number":3,"ratio":1e5,"kind":"b","more":[{"topic":"u"}],"raw":"YQ=="}',
        b'\x01{"x":1,"y":null}', b"\x02-17", b'\x03"text"', b"\x09[1,2,3]", b"\x0a{}",
    ],
    "msgpack": [
        b"\0\x83\xa5topic\xa1t\xa6number\x03\xa4more\x91\x81\xa5topic\xa1u",
        b"\x01\x82\xa1x\x01\xa1y\xcb?\xf0\0\0\0\0\0\0", b"\x08\xdd\xff\xff\xff\xff",
        b"\x08\xc7\x0c\xff" + bytes(12), b"\x08\xd6\xff\0\0\0\0",
    ],
    "text": [b"\x0017", b"\x01text", b"\x02-1.5e3", b"\x03true"],
    "raw": [b"\0bytes"],
    "protobuf": [b"\0\n\x0b\n\x01a\x12\x06\x1a\x04text"],
}  # fmt: skip
"""Some inputs for each that mean something: what the engine begins with."""

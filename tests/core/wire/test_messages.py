"""`Msg`: made by hand or by the parser, read as text only when asked."""

from __future__ import annotations

import array
from typing import Any

import pytest

from natsrpc.core.wire import Headers, Msg, Parser, payload_bytes
from natsrpc.errors import (
    BadHeaderError,
    BadSubjectError,
    InvalidMsgError,
    MsgNoReplyError,
    MsgNotBoundError,
)


class Recorder:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes, bytes]] = []
        self.congested = False
        self.waits = 0

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        assert not reply
        self.sent.append((subject, data, headers))

    async def writable(self) -> None:
        self.waits += 1


def received(frame: bytes, responder: Recorder | None = None) -> Msg:
    (msg,) = Parser(responder).feed(frame)
    assert isinstance(msg, Msg)
    return msg


def test_a_received_message_is_read_as_text() -> None:
    msg = received("HMSG größe 7 r.1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n".encode())
    assert (msg.subject, msg.reply, msg.data, msg.sid) == ("größe", "r.1", b"hi", b"7")
    assert msg.headers == {"A": "b"}
    assert msg.headers is msg.headers
    assert repr(msg) == "<Msg 'größe' reply='r.1' headers=18B data=2B>"


def test_a_bare_message_has_empty_reply_and_headers() -> None:
    msg = received(b"MSG a 1 0\r\n\r\n")
    assert (msg.reply, msg.data, msg.raw_headers, len(msg.headers)) == ("", b"", b"", 0)
    assert (msg.status, msg.status_text) == (None, "")
    assert repr(msg) == "<Msg 'a' data=0B>"


def test_headers_read_from_one_message_are_not_shared_with_the_next() -> None:
    first, second = Parser().feed(b"MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n")
    assert isinstance(first, Msg)
    assert isinstance(second, Msg)
    first.headers.add("A", "b")
    assert len(second.headers) == 0


def test_a_message_made_by_hand_holds_what_is_sent() -> None:
    data: Any = bytearray(b"hi")
    msg = Msg("a.b", data, "r", {"A": ["1", "2"]})
    assert (msg.subject, msg.reply, msg.data) == ("a.b", "r", b"hi")
    assert msg.raw_headers == b"NATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n"
    assert msg.headers.get_all("A") == ["1", "2"]
    assert (Msg("a").reply, Msg("a").raw_headers) == ("", b"")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b",), BadSubjectError),
        (("a..b",), BadSubjectError),
        (("a", b"", "r r"), BadSubjectError),
        (("a", b"", "r", {"A": "b\r\n"}), BadHeaderError),
        (("a", "text"), InvalidMsgError),
    ],
)
def test_a_message_that_cannot_be_sent_is_not_made(
    arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Msg(*arguments)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"abc", b"abc"),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(array.array("I", [1, 2])), array.array("I", [1, 2]).tobytes()),
        (array.array("H", [1]), array.array("H", [1]).tobytes()),
        (type("Own", (bytes,), {})(b"abc"), b"abc"),
    ],
    ids=["bytes", "bytearray", "memoryview", "strided", "of integers", "array", "subclass"],
)
def test_a_payload_becomes_plain_bytes_counted_in_bytes(data: Any, expected: bytes) -> None:
    result = payload_bytes(data)
    assert type(result) is bytes
    assert result == expected


def test_bytes_are_not_copied() -> None:
    data = b"abc"
    assert payload_bytes(data) is data


def test_a_payload_is_a_snapshot() -> None:
    data = bytearray(b"abc")
    kept = payload_bytes(data)
    data[0] = 0
    assert kept == b"abc"


@pytest.mark.parametrize("data", ["text", 5, None, ["a"], {"a": 1}, object()], ids=repr)
def test_what_is_no_bytes_is_refused_as_a_payload(data: Any) -> None:
    with pytest.raises(InvalidMsgError, match=type(data).__name__):
        payload_bytes(data)


async def test_an_answer_goes_to_the_reply_subject_without_the_request_headers() -> None:
    responder = Recorder()
    msg = received(b"HMSG a 1 r 18 18\r\nNATS/1.0\r\nA: b\r\n\r\n\r\n", responder)
    await msg.respond(b"yes")
    assert responder.waits == 0
    responder.congested = True
    view: Any = memoryview(b"again")
    await msg.respond(view, {"B": "c"})
    await msg.respond_msg(Msg("other", b"data", headers=Headers({"C": "d"})))
    await msg.respond_msg(Msg("other"))
    assert responder.sent == [
        (b"r", b"yes", b""),
        (b"r", b"again", b"NATS/1.0\r\nB: c\r\n\r\n"),
        (b"r", b"data", b"NATS/1.0\r\nC: d\r\n\r\n"),
        (b"r", b"", b""),
    ]
    assert responder.waits == 3


async def test_a_message_without_reply_or_connection_cannot_be_answered() -> None:
    with pytest.raises(MsgNoReplyError, match="'a'"):
        await received(b"MSG a 1 0\r\n\r\n", Recorder()).respond(b"x")
    with pytest.raises(MsgNotBoundError):
        await Msg("a", reply="r").respond(b"x")


async def test_an_answer_that_cannot_be_sent_is_refused() -> None:
    responder = Recorder()
    msg = received(b"MSG a 1 r 0\r\n\r\n", responder)
    for bad, error in (("text", InvalidMsgError), (None, InvalidMsgError)):
        with pytest.raises(error):
            await msg.respond(bad)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(BadHeaderError):
        await msg.respond(b"", {"A": "\n"})
    with pytest.raises(InvalidMsgError):
        await msg.respond_msg(b"data")  # type: ignore[arg-type]  # the mistake under test
    assert responder.sent == []

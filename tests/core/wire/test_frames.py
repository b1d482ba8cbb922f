"""Frames from client to server: written here, read by a reader of another hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core.wire import encode_headers, frames
from tests.core.harness import parse_frames

BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"

WRITTEN = [
    (frames.PING, b"PING\r\n"),
    (frames.PONG, b"PONG\r\n"),
    (bytes(frames.large(b"a", b"", b"hello")), b"PUB a 5\r\nhello\r\n"),
    (bytes(frames.large(b"a", b"", b"", b"_INBOX.x.1")), b"PUB a _INBOX.x.1 0\r\n\r\n"),
    (bytes(frames.large(b"a", b"", b"%d\r\n%%")), b"PUB a 6\r\n%d\r\n%%\r\n"),
    (frames.hpub(b"a", BLOCK, b"hi"), b"HPUB a 18 20\r\n" + BLOCK + b"hi\r\n"),
    (frames.hpub(b"a", BLOCK, b""), b"HPUB a 18 18\r\n" + BLOCK + b"\r\n"),
    (frames.hpub(b"a", BLOCK, b"hi", b"r"), b"HPUB a r 18 20\r\n" + BLOCK + b"hi\r\n"),
    (frames.sub(b"orders.*", b"", b"7"), b"SUB orders.* 7\r\n"),
    (frames.sub(b"svc", b"q", b"8"), b"SUB svc q 8\r\n"),
    (frames.unsub(b"7"), b"UNSUB 7\r\n"),
    (frames.unsub(b"7", 5), b"UNSUB 7 5\r\n"),
    (frames.connect({"verbose": False, "name": "x"}), b'CONNECT {"verbose":false,"name":"x"}\r\n'),
]


@pytest.mark.parametrize(("frame", "expected"), WRITTEN, ids=repr)
def test_a_frame_is_written_byte_for_byte(frame: bytes, expected: bytes) -> None:
    assert frame == expected


@pytest.mark.parametrize("reply", [b"", b"_INBOX.x.1"])
@pytest.mark.parametrize("block", [b"", BLOCK])
def test_a_large_frame_is_the_same_bytes_in_pieces_and_leaves_its_payload_where_it_is(
    block: bytes, reply: bytes
) -> None:
    data = bytes(frames.LARGE + 1)
    frame = frames.large(b"a", block, data, reply)
    name = b"a " + reply if reply else b"a"
    whole = b"PUB %b %d\r\n%b\r\n" % (name, len(data), data)
    if block:
        whole = frames.hpub(b"a", block, data, reply)
    assert bytes(frame) == b"".join(frame.parts()) == whole
    assert len(frame) == len(whole)
    assert any(isinstance(part, memoryview) and part.obj is data for part in frame.parts())


def test_frames_written_one_after_another_are_read_apart() -> None:
    read = parse_frames(b"".join(frame for frame, _ in WRITTEN))
    assert [frame.raw for frame in read] == [frame for frame, _ in WRITTEN]


def test_connect_stays_one_line_whatever_its_texts_hold() -> None:
    fields = {"name": "a\r\nPUB x 0\r\n\r\n", "user": "größe\u2028", "sig": None, "protocol": 1}
    frame = frames.connect(fields)
    assert frame.count(b"\r\n") == 1
    assert frame.isascii()
    assert json.loads(frame.removeprefix(b"CONNECT ")) == fields


subjects = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=1).map(
    lambda name: name.replace("\u2028", "x").replace("\u2029", "x").encode()
)
blocks = st.dictionaries(st.text("AbC-", min_size=1), st.text("xyz é"), max_size=3).map(
    encode_headers
)


@given(subject=subjects, reply=st.just(b"") | subjects, data=st.binary(max_size=300), block=blocks)
def test_any_message_is_read_back(subject: bytes, reply: bytes, data: bytes, block: bytes) -> None:
    plain, headed = parse_frames(
        bytes(frames.large(subject, b"", data, reply)) + frames.hpub(subject, block, data, reply)
    )
    assert (plain.subject, plain.reply, plain.payload) == (subject, reply, data)
    assert (headed.subject, headed.reply, headed.payload) == (subject, reply, data)
    assert headed.headers == block


def test_frames_that_carry_a_message_are_told_apart() -> None:
    every = [frame for frame, _ in WRITTEN]
    assert frames.publishes(every) == [f for f in every if f[:3] == b"PUB" or f[:4] == b"HPUB"]
    assert not frames.is_publish(b"PUBLISH")

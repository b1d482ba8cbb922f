"""The reconnect buffer: its limit, its order, and what is carried in front."""

from __future__ import annotations

import pytest

from natsrpc.core import ServerInfo
from natsrpc.core.link.outbox import Outbox, refusal, revised
from natsrpc.core.wire import frames
from natsrpc.errors import (
    HeadersNotSupportedError,
    MaxPayloadError,
    ReconnectBufferExceededError,
)

BLOCK = b"NATS/1.0\r\na: b\r\n\r\n"


def test_frames_come_out_once_in_the_order_they_went_in() -> None:
    outbox = Outbox(100)
    outbox.put(b"one")
    outbox.put(b"two")
    assert outbox.size == 6
    assert outbox.take() == [b"one", b"two"]
    assert (outbox.take(), outbox.size) == ([], 0)


def test_a_frame_is_refused_once_the_limit_is_reached_and_leaves_no_trace() -> None:
    outbox = Outbox(5)
    outbox.put(b"four")
    outbox.put(b"overshoots")
    with pytest.raises(ReconnectBufferExceededError, match="14 of 5 bytes"):
        outbox.put(b"x")
    assert outbox.take() == [b"four", b"overshoots"]
    outbox.put(b"room again")


def test_a_negative_limit_keeps_nothing() -> None:
    with pytest.raises(ReconnectBufferExceededError, match="switched off"):
        Outbox(-1).put(b"x")


def test_carried_frames_stand_in_front_and_count() -> None:
    outbox = Outbox(5)
    outbox.put(b"later")
    outbox.carry([b"earlier", b"than that"])
    assert outbox.size == 21
    assert outbox.take() == [b"earlier", b"than that", b"later"]


@pytest.mark.parametrize(
    ("frame", "fields", "kind"),
    [
        (b"PUB a 10\r\n%b\r\n" % bytes(10), {"max_payload": 10}, None),
        (b"PUB a 11\r\n%b\r\n" % bytes(11), {"max_payload": 10}, MaxPayloadError),
        (b"PUB a 11\r\n%b\r\n" % bytes(11), {}, None),
        (frames.hpub(b"a", BLOCK, b"1"), {"headers": True}, None),
        (frames.hpub(b"a", BLOCK, b"1"), {"headers": False}, HeadersNotSupportedError),
        (frames.hpub(b"a", BLOCK, b"1"), {"headers": True, "max_payload": 18}, MaxPayloadError),
    ],
)
def test_what_a_server_would_refuse_is_known_beforehand(
    frame: bytes, fields: dict[str, object], kind: type[Exception] | None
) -> None:
    found = refusal(frame, ServerInfo(**fields))  # type: ignore[arg-type]  # from the table
    assert type(found) is (kind or type(None))


ASKING = frames.hpub(b"a", BLOCK, b"1", b"_INBOX.1")
PLAIN = b"PUB a _INBOX.2 1\r\n1\r\n"


def test_requests_that_nobody_waits_for_leave_and_make_room() -> None:
    outbox = Outbox(10)
    outbox.put(ASKING)
    outbox.purge(lambda reply, headers: headers)
    assert outbox.is_full
    outbox.purge(lambda reply, headers: None if reply == b"_INBOX.1" else headers)
    assert (outbox.take(), outbox.size) == ([], 0)


@pytest.mark.parametrize(
    ("frame", "now", "expected"),
    [
        (ASKING, BLOCK, ASKING),
        (ASKING, None, None),
        (ASKING, BLOCK * 2, frames.hpub(b"a", BLOCK * 2, b"1", b"_INBOX.1")),
        (PLAIN, b"", PLAIN),
        (PLAIN, None, None),
        (b"PUB a 1\r\n1\r\n", None, b"PUB a 1\r\n1\r\n"),
        (frames.hpub(b"a", BLOCK, b"1"), None, frames.hpub(b"a", BLOCK, b"1")),
    ],
)
def test_a_buffered_request_says_what_it_says_now(
    frame: bytes, now: bytes | None, expected: bytes | None
) -> None:
    assert revised(frame, lambda reply, headers: now) == expected

"""What a new session is told of the state, and what is kept from it."""

from __future__ import annotations

import pytest

from natsrpc.core import ServerInfo
from natsrpc.core.link.replay import refusal, restore
from natsrpc.core.wire import frames
from natsrpc.errors import HeadersNotSupportedError, MaxPayloadError
from tests.core.connected import connected

BLOCK = b"NATS/1.0\r\na: b\r\n\r\n"


async def test_subscriptions_are_restored_with_what_is_left_of_their_limits() -> None:
    async with connected() as (nc, peer, _):
        plain = await nc.subscribe("a.*")
        group = await nc.subscribe("b", queue_group="q")
        limited = await nc.subscribe("c", max_msgs=3)
        peer.msg(b"c", limited.raw_sid)
        await peer.synced()
        assert restore([plain, group, limited]) == [
            b"SUB a.* %b\r\n" % plain.raw_sid,
            b"SUB b q %b\r\n" % group.raw_sid,
            b"SUB c %b\r\n" % limited.raw_sid,
            b"UNSUB %b 2\r\n" % limited.raw_sid,
        ]


async def test_a_subscription_that_drains_is_not_restored() -> None:
    async with connected() as (nc, _, _):
        sub = await nc.subscribe("a")
        sub.is_draining = True
        assert restore([sub]) == []
        sub.is_draining = False


@pytest.mark.parametrize(
    ("frame", "fields", "kind"),
    [
        (frames.pub(b"a", bytes(10)), {"max_payload": 10}, None),
        (frames.pub(b"a", bytes(11)), {"max_payload": 10}, MaxPayloadError),
        (frames.pub(b"a", bytes(11)), {}, None),
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

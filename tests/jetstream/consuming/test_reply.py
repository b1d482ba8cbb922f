"""Ack subjects, of both forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from natsrpc.errors import JetStreamError
from natsrpc.jetstream import Metadata
from natsrpc.jetstream.consuming import metadata_of

MOMENT = datetime(2023, 11, 14, 22, 13, 20, 1, UTC)


@pytest.mark.parametrize(
    ("reply", "domain"),
    [
        (b"$JS.ACK.S.C.3.10.7.1700000000000001999.5", ""),
        (b"$JS.ACK._.hash.S.C.3.10.7.1700000000000001999.5", ""),
        (b"$JS.ACK.hub.hash.S.C.3.10.7.1700000000000001999.5", "hub"),
        (b"$JS.ACK.hub.hash.S.C.3.10.7.1700000000000001999.5.more.of.it", "hub"),
    ],
)
def test_each_form_tells_the_same(reply: bytes, domain: str) -> None:
    assert metadata_of(reply) == Metadata(
        stream="S",
        consumer="C",
        num_delivered=3,
        stream_seq=10,
        consumer_seq=7,
        timestamp=MOMENT,
        num_pending=5,
        domain=domain,
    )


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"_INBOX.x",
        b"$JS.ACK.S.C.3.10.7.1700000000000000000",
        b"$JS.ACK.x.S.C.3.10.7.1700000000000000000.5",  # ten tokens are neither form
        b"$JS.ACK.S.C.a.b.c.d.e",
        b"$JS.ACK.S.C.1.1.1.99999999999999999999999999999.0",
        b"a.b.c.d.e.f.g.h.i.j.k.l",
    ],
)
def test_what_is_none_is_told(reply: bytes) -> None:
    with pytest.raises(JetStreamError, match="not the ack subject"):
        metadata_of(reply)

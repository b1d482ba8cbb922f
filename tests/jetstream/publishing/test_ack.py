"""The answer to a publish."""

from __future__ import annotations

import pytest

from natsrpc.errors import JetStreamError, WrongLastSequenceError
from natsrpc.jetstream import PubAck
from natsrpc.jetstream.publishing.ack import ack_of


@pytest.mark.parametrize(
    ("data", "ack"),
    [
        (b'{"stream":"S","seq":7}', PubAck("S", 7)),
        (b'{"stream":"S", "seq":7,"duplicate": true}', PubAck("S", 7, duplicate=True)),
        (b'{"stream":"S","domain":"hub","seq":7}', PubAck("S", 7, domain="hub")),
        (b'{"stream":"S","seq":7,"val":"5"}', PubAck("S", 7, value="5")),
        (b'{"stream":"S","seq":18446744073709551615}', PubAck("S", 2**64 - 1)),
    ],
)
def test_what_an_ack_tells(data: bytes, ack: PubAck) -> None:
    assert ack_of(data, b"s") == ack


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"+OK",
        b"{}",
        b"[]",
        b'"S"',
        b"7",
        b"null",
        b'{"stream":"S"}',
        b'{"stream":"S","seq":"7"}',
        b'{"stream":"S","seq":true}',
        b'{"stream":7,"seq":7}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_none_is_told_with_the_subject(data: bytes) -> None:
    with pytest.raises(JetStreamError, match=r"'orders\.new' is not a PubAck"):
        ack_of(data, b"orders.new")


def test_an_error_counts_though_a_stream_and_sequence_stand_beside_it() -> None:
    data = (
        b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"},'
        b'"stream":"S","seq":0}'
    )
    with pytest.raises(WrongLastSequenceError) as caught:
        ack_of(data, b"s")
    assert (caught.value.last_seq, caught.value.code) == (4, 400)

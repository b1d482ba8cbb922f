"""Runs of messages: the same events as one by one, wherever a run ends."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from natsrpc.core.wire import Event, bulk, parser
from tests.core.wire.test_parser import (
    Fields,
    fields,
    parse,
    render,
    test_100_000_mutations_give_events_or_a_protocol_error,
    test_a_broken_frame_ends_the_stream_however_it_is_cut,
    test_any_bytes_in_any_chunks_give_the_same_result,
    test_any_stream_in_any_chunks_gives_back_its_events,
    test_every_chunk_size_gives_the_same_events,
    test_every_split_point_gives_the_same_events,
    test_legal_variants_are_read_however_they_are_cut,
    test_messages_and_their_bytes_are_counted_headers_included,
    test_the_message_cap_holds_before_and_after_a_size_was_seen,
)

__all__ = [
    "test_100_000_mutations_give_events_or_a_protocol_error",
    "test_a_broken_frame_ends_the_stream_however_it_is_cut",
    "test_any_bytes_in_any_chunks_give_the_same_result",
    "test_any_stream_in_any_chunks_gives_back_its_events",
    "test_every_chunk_size_gives_the_same_events",
    "test_every_split_point_gives_the_same_events",
    "test_legal_variants_are_read_however_they_are_cut",
    "test_messages_and_their_bytes_are_counted_headers_included",
    "test_the_message_cap_holds_before_and_after_a_size_was_seen",
]


@pytest.fixture(autouse=True, scope="module")
def small_windows() -> Iterator[None]:
    """Runs begin with chunks of any size, and end every few frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "SMALLEST", 1)
        patch.setattr(bulk, "_FIRST_WINDOW", 40)
        patch.setattr(bulk, "_LARGEST_WINDOW", 160)
        yield


SIZES = {b"0": 0, b"2": 2, b"5": 5, b"12": 12}


def taken(data: bytes) -> tuple[list[Fields], bytes]:
    """What a run takes from the start of a chunk, and what it leaves."""
    events: list[Event] = []
    pos, size = bulk.take_run(data, SIZES, None, events)
    messages = [fields(event) for event in events]
    assert size == sum(len(message[-1]) for message in messages)
    assert data[:pos] == b"".join(render(message) for message in messages)
    return messages, data[pos:]


def message(number: int, data: bytes = b"hello") -> Fields:
    return ("MSG", b"a.%d" % number, b"1", b"r" if number % 3 else b"", b"", data)


def frames(count: int) -> list[bytes]:
    return [render(message(number)) for number in range(count)]


def test_a_run_is_taken_to_the_end_of_the_chunk() -> None:
    messages, left = taken(b"".join(frames(500)))
    assert messages == [message(number) for number in range(500)]
    assert left == b""


@pytest.mark.parametrize("cut", range(1, len(frames(1)[0])))
def test_a_frame_that_is_not_whole_is_left(cut: int) -> None:
    last = render(message(40))
    messages, left = taken(b"".join(frames(40)) + last[:-cut])
    assert len(messages) == 40
    assert left == last[:-cut]


@pytest.mark.parametrize(
    "odd",
    [
        b"PING\r\n",
        b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        b"MSG a 1 12\r\nfirst\r\nlast.\r\n",  # a line's end in the payload
        b"MSG a 1 12\r\n\r\nMSG a 1 2\r\n\r\n",  # and something that looks like a frame
        b"MSG a 1 7\r\nunknown\r\n",  # a size not seen before
        b"MSG a 1 2\nhi\r\n",
        b"MSG a\nb 1 2\r\nhi\r\n",
        b"MSG a\t1 2\r\nhi\r\n",
        b"MSG a\t1 r 2\r\nhi\r\n",
        b"MSG  a 1 2\r\nhi\r\n",
        b"MSG a  1 2\r\nhi\r\n",
        b"MSG a 1 2 \r\nhi\r\n",
        b"msg a 1 2\r\nhi\r\n",
        b"MSG a 1 r r 2\r\nhi\r\n",
        b"MSG 1 2\r\nhi\r\n",
        b"MSG a 1 5\r\nhi\r\n",  # a broken one
    ],
)
def test_a_run_ends_before_whatever_else_comes(odd: bytes) -> None:
    messages, left = taken(b"".join([*frames(30), odd, *frames(30)]))
    assert len(messages) == 30
    assert left.startswith(odd)


@pytest.mark.parametrize("size", [5, 500, 5000, 70_000])
def test_payloads_of_any_size_are_the_same_in_a_run(size: int) -> None:
    dice = random.Random(size)
    messages = [
        ("MSG", b"a", b"1", b"", b"", dice.randbytes(size if number % 5 else 0))
        for number in range(30)
    ]
    stream = b"".join(render(message) for message in messages)
    assert parse([stream, stream]) == (messages + messages, False)


def test_only_busy_connections_are_read_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[bytes] = []

    def take_run(data: bytes, *_: object) -> tuple[int, int]:
        chunks.append(data)
        return 0, 0

    monkeypatch.setattr(parser, "SMALLEST", bulk.SMALLEST)
    monkeypatch.setattr(parser, "take_run", take_run)
    lone, many = frames(1)[0], b"".join(frames(64))
    assert parse([lone, many]) == ([message(number) for number in (0, *range(64))], False)
    assert chunks == [many]

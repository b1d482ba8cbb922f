"""Writing out: once a loop turn, in order, bounded, and never to a dead socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core.session.transport import HIGH_WATER, JOIN_BELOW, Transport
from natsrpc.core.wire.frames import large
from natsrpc.errors import NatsTimeoutError
from tests.core.harness import elapse, turns, warped


class Socket(asyncio.Transport):
    """What asyncio gives a protocol, with the kernel's room decided by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.high = 0
        self.aborted = self.closed = False
        self.room = True
        self.protocol: Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.aborted
        self.writes.append(bytes(data))
        if not self.room:
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        raise AssertionError("writelines does not pause the protocol on CPython 3.12.0 and later")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


def opened(write_timeout: float = 5.0) -> tuple[Transport, Socket, list[Exception | None]]:
    lost: list[Exception | None] = []
    transport = Transport(
        asyncio.get_running_loop(),
        receive=lambda data: None,
        lost=lost.append,
        write_timeout=write_timeout,
    )
    socket = Socket()
    socket.protocol = transport
    transport.connection_made(socket)
    return transport, socket, lost


async def test_the_frames_of_one_turn_are_written_together_in_order() -> None:
    transport, socket, _ = opened()
    for frame in (b"one ", b"two ", b"three"):
        transport.write(frame)
    assert socket.writes == []
    await turns(1)
    assert socket.writes == [b"one two three"]
    transport.write(b"four")
    await turns(1)
    assert socket.writes == [b"one two three", b"four"]
    assert transport.bytes_out == 17


async def test_write_out_takes_the_frames_written_before() -> None:
    transport, socket, _ = opened()
    transport.write(b"one")
    transport.write_out()
    assert socket.writes == [b"one"]
    await turns(2)
    assert socket.writes == [b"one"]
    transport.write_out()
    assert socket.writes == [b"one"]


async def test_while_corked_nothing_leaves_by_itself() -> None:
    transport, socket, _ = opened()
    transport.is_corked = True
    transport.write(b"one")
    await turns(3)
    assert socket.writes == []
    transport.is_corked = False
    transport.write_out()
    assert socket.writes == [b"one"]
    transport.write(b"two")
    await turns(1)
    assert socket.writes == [b"one", b"two"]


async def test_nothing_is_written_to_a_socket_that_was_dropped() -> None:
    transport, socket, _ = opened()
    transport.write(b"one")
    transport.abort()
    transport.write_out()
    await turns(2)
    assert socket.writes == []
    assert transport.take_unsent() == [b"one"]
    assert transport.bytes_out == 0


async def test_a_full_socket_keeps_later_frames_here_and_in_order() -> None:
    transport, socket, _ = opened()
    socket.room = False
    transport.write(b"1")
    await turns(1)
    assert transport.is_congested
    transport.write(b"2")
    transport.write(b"3")
    await turns(2)
    assert socket.writes == [b"1"]
    assert transport.buffered == 2
    socket.room = True
    transport.resume_writing()
    assert socket.writes == [b"1", b"23"]
    assert not transport.is_congested


async def test_frames_never_handed_over_can_be_taken_once() -> None:
    transport, socket, _ = opened()
    socket.room = False
    transport.write(b"1")
    await turns(1)
    transport.write(b"2")
    transport.write(b"3")
    assert transport.take_unsent() == [b"2", b"3"]
    assert transport.take_unsent() == []
    assert transport.buffered == 0
    transport.resume_writing()
    assert socket.writes == [b"1"]


async def test_one_frame_larger_than_the_high_water_mark_passes() -> None:
    transport, socket, _ = opened()
    frame = bytes(8 * HIGH_WATER)
    transport.write(frame)
    assert transport.is_congested
    await turns(1)
    assert socket.writes == [frame]
    assert not transport.is_congested


async def test_producers_wait_while_there_is_no_room_and_all_go_on_with_it() -> None:
    transport, socket, _ = opened()
    socket.room = False
    transport.write(b"1")
    await turns(1)
    waiting = [asyncio.create_task(transport.writable()) for _ in range(3)]
    await turns(3)
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()
    socket.room = True
    transport.resume_writing()
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 1)
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_waiting_for_room_gives_way_at_least_once() -> None:
    transport, _, _ = opened()
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await transport.writable()
    assert ran.is_set()


@pytest.mark.parametrize("end", ["abort", "close", "connection_lost"])
async def test_waiting_for_room_ends_with_the_socket(end: str) -> None:
    transport, socket, lost = opened()
    socket.room = False
    transport.write(b"1")
    await turns(1)
    waiting = asyncio.create_task(transport.writable())
    await turns(2)
    if end == "connection_lost":
        transport.connection_lost(ConnectionResetError())
        assert len(lost) == 1
    else:
        getattr(transport, end)()
    await asyncio.wait_for(waiting, 1)
    assert not transport.is_open


async def test_nothing_is_written_to_a_socket_that_is_gone() -> None:
    transport, socket, _ = opened()
    transport.write(b"1")
    transport.abort()
    await turns(2)
    assert socket.aborted
    assert socket.writes == []


async def test_close_sends_what_is_collected() -> None:
    transport, socket, _ = opened()
    transport.write(b"1")
    transport.close()
    assert socket.writes == [b"1"]
    assert socket.closed


@warped
async def test_a_peer_that_takes_nothing_is_given_up_after_the_write_timeout() -> None:
    transport, socket, lost = opened(write_timeout=10.0)
    socket.room = False
    transport.write(b"1")
    await elapse(9)
    assert not lost
    await elapse(2)
    assert socket.aborted
    assert isinstance(lost[0], NatsTimeoutError)


@warped
async def test_room_in_time_keeps_the_socket() -> None:
    transport, socket, lost = opened(write_timeout=10.0)
    socket.room = False
    transport.write(b"1")
    await elapse(9)
    socket.room = True
    transport.resume_writing()
    await elapse(100)
    assert not lost
    assert not socket.aborted


async def test_producers_stopped_by_what_one_turn_collected_go_on_once_it_is_written() -> None:
    """The socket never fills, so it never says that it has room again."""
    transport, socket, _ = opened()

    async def produce() -> None:
        await transport.writable()
        transport.write(b"x" * HIGH_WATER)

    async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(produce())
    await turns(1)
    assert sum(map(len, socket.writes)) == 8 * HIGH_WATER


async def test_much_is_written_in_pieces_and_only_until_the_socket_is_full() -> None:
    transport, socket, _ = opened()
    much = bytes(JOIN_BELOW + 1)
    for frame in (b"1", b"2", much, b"3", much):
        transport.write(frame)
    await turns(1)
    assert socket.writes == [b"12", much, b"3", much]
    assert transport.bytes_out == 3 + 2 * len(much)
    assert not transport.is_congested
    socket.writes.clear()
    socket.room = False
    for frame in (much, b"4", much):
        transport.write(frame)
    await turns(1)
    assert socket.writes == [much]
    assert transport.take_unsent() == [b"4", much]


async def test_a_large_frame_is_written_whole_or_kept_whole() -> None:
    transport, socket, _ = opened()
    frame = large(b"a", b"", bytes(JOIN_BELOW + 1))
    transport.write(b"1")
    transport.write(frame)
    transport.write(b"2")
    await turns(1)
    assert socket.writes == [b"1", *map(bytes, frame.parts()), b"2"]
    assert transport.bytes_out == 2 + len(frame)
    socket.writes.clear()
    socket.room = False  # it is full from the first piece on
    transport.write(frame)
    transport.write(frame)
    await turns(1)
    assert b"".join(socket.writes) == bytes(frame)
    assert transport.buffered == len(frame)
    assert transport.take_unsent() == [bytes(frame)]


async def test_a_large_frame_held_at_the_end_is_written_by_close() -> None:
    transport, socket, _ = opened()
    frame = large(b"a", b"", bytes(JOIN_BELOW + 1))
    transport.hold()
    transport.write(frame)
    transport.close()
    assert socket.writes == [bytes(frame)]

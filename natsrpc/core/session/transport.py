"""The transport: the only code that reads from a session's socket and writes to it.

(The handshake opens the socket, and asks here for TLS.)

Outbound, frames are collected in the list `frames`. The first frame of a loop turn schedules
`write_out`, which joins all of that turn and sends them by one system call. A caller that knows
when it has written its last frame sets `is_corked` meanwhile, so that nothing is scheduled, and
calls `write_out` itself: that saves a turn of the loop.

While the socket is full (asyncio calls `pause_writing`), frames stay in the list: what was never
handed over can be carried into the next session. `is_congested` then tells producers to wait, and
`pressed` is called when it changes. `hold` keeps frames in the list in the same way, for a
handover.

Inbound, each chunk goes to the session at once: no reader task, no queue.

A dead transport is aborted, never closed politely: waiting for unsent bytes to a dead peer may take
minutes. One that is closed politely is aborted by `gone` when that takes too long.
"""

from __future__ import annotations

import asyncio
import ssl
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, cast

from natsrpc.errors import NatsTimeoutError

from ..wire import LARGE, Frame, LargeFrame

HIGH_WATER = 256 * 1024
"""The number of unsent bytes from which on producers are asked to wait."""

CHUNK = 64 * 1024
"""The most that is received at once, in bytes.

asyncio reserves that much before it knows how much there is. Its own 256 KiB are more than the C
library keeps at hand, so that memory is given back to the system and fetched again: some 5 page
faults a chunk, 0.4 us of system time for each of 64 typed calls (CPython 3.11).
"""

JOIN_BELOW = LARGE
"""Frames are joined, and written by one system call, up to so many bytes: none of them is large."""

_BLOCK = 1024
"""Frames that are added up at a time, so that many small ones do not take as many numbers."""


class Transport(asyncio.Protocol):
    """One socket: chunks in, frames out. Made and called by its session.

    `receive(chunk)` is called for every chunk, `lost(error)` once when the socket is gone,
    `pressed(is_congested)` whenever `is_congested` changes.

    `frames`, the frames not yet written, and `unsent`, their bytes, are public for `Outbound` and
    `Connection.publish`, which do in place what `write` does: its call costs 0.1 us a message.
    Code that sets `is_corked` unsets it in the same callback of the loop, and calls `write_out` if
    there are frames.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        receive: Callable[[bytes], None],
        lost: Callable[[Exception | None], None],
        write_timeout: float,
        pressed: Callable[[bool], object] = bool,
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._lost = lost
        self._pressed = pressed
        self._write_timeout = write_timeout
        self._socket: asyncio.Transport | None = None
        self.frames: list[Frame] = []
        self.unsent: int = 0
        self.is_congested: bool = False
        self._full = False
        self._held = False
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_size = 0
        self._socket_gone = asyncio.Event()
        self._left = 0  # bytes with the socket when it was closed
        self._lost_size = 0
        self.is_open: bool = False
        self.bytes_out: int = 0
        self.is_corked = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are transports by what they do, not by their class
        self._socket = cast("asyncio.Transport", transport)
        self._socket.set_write_buffer_limits(high=HIGH_WATER)
        plain: Any = transport
        if hasattr(plain, "max_size"):  # asyncio's own, over sockets without TLS
            plain.max_size = CHUNK
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket_gone.set()
        if exc is not None:
            self._lost_size = max(self._lost_size, self._left)
        self._gone()
        self._lost(exc)

    def pause_writing(self) -> None:
        self._full = True
        self.press(congested=True)
        self._watch_stall()

    def resume_writing(self) -> None:
        self._full = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._go_on()

    # outbound

    def write(self, frame: Frame) -> None:
        """Send a frame with the others of this loop turn. Never waits."""
        collected = self.frames
        if not collected:
            self.begin()
        collected.append(frame)
        self.unsent = unsent = self.unsent + len(frame)
        if unsent >= HIGH_WATER:
            self.press(congested=True)

    def begin(self) -> None:
        """Schedule `write_out`: the first frame of a loop turn is about to be collected."""
        if not (self._full or self.is_corked):  # then `resume_writing`, or the corking code, writes
            self._loop.call_soon(self.write_out)

    def press(self, *, congested: bool) -> None:
        """Note whether producers should wait, and tell it when it changed."""
        if congested is not self.is_congested:
            self.is_congested = congested
            self._pressed(congested)

    def write_out(self) -> None:
        """Hand over what is collected to the socket, as far as it takes it."""
        if not (self.frames and self.is_open) or self._full or self._held:
            return
        assert self._socket is not None
        if self.unsent > JOIN_BELOW:
            self._write_pieces()
        else:
            joined = b"".join(self.frames)  # type: ignore[arg-type]  # none is large
            self.frames.clear()
            self.unsent = 0  # in front of `write`, which may call `pause_writing` in place
            self.bytes_out += len(joined)
            if self.is_congested:
                self.press(congested=False)  # unless the socket, in `write`, says that it is full
            self._socket.write(joined)
        # producers that came while much was collected in this turn: the socket took it all
        if self._waiters and not self._full:
            self._wake()

    def _write_pieces(self) -> None:
        """Write much, a piece at a time, until the socket is full.

        Joining large frames would copy them, and what the socket does not take asyncio copies.
        """
        assert self._socket is not None
        # Once the socket is full, `write` calls `pause_writing` in place: the rest then goes back.
        out = self.frames.copy()
        self.frames.clear()
        done = 0
        for piece, size in _pieces(out):
            if self._full:
                break
            done += len(piece)
            self.bytes_out += size
            self.unsent -= size
            self._write_together(piece)
        self.frames[:0] = out[done:]
        self._note_congestion()

    def _write_together(self, piece: list[Frame]) -> None:
        assert self._socket is not None
        if isinstance(piece[0], LargeFrame):  # it is alone, and goes out whole or not at all
            for part in piece[0].parts():
                self._socket.write(part)
        else:
            self._socket.write(b"".join(cast("list[bytes]", piece)))

    def hold(self) -> None:
        """Keep what is written from now on until `release`."""
        self._held = True

    def release(self, first: Sequence[bytes] = ()) -> None:
        """Send what was held, `first` in front of it."""
        self._held = False
        self.frames[:0] = first
        self.unsent += sum(map(len, first))
        self._go_on()

    def _go_on(self) -> None:
        self.write_out()
        self._note_congestion()
        if not self.is_congested:
            self._wake()

    def _note_congestion(self) -> None:
        self.press(congested=self._full or self.unsent >= HIGH_WATER)

    def pause_reading(self) -> None:
        """Read nothing more, so that the server has to wait."""
        if self._socket is not None and self.is_open:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._socket is not None and self.is_open:
            self._socket.resume_reading()

    @property
    def buffered(self) -> int:
        """Bytes not yet with the operating system."""
        waiting = self._socket.get_write_buffer_size() if self._socket is not None else 0
        return self.unsent + waiting

    async def writable(self) -> None:
        """Wait until there is room again, or the socket is gone; at least one loop turn."""
        await asyncio.sleep(0)
        while self.is_congested and self.is_open:
            waiter = self._loop.create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _watch_stall(self) -> None:
        assert self._socket is not None
        self._stalled_size = self._socket.get_write_buffer_size()
        self._stall_timer = self._loop.call_later(self._write_timeout, self._stalled)

    def _stalled(self) -> None:
        assert self._socket is not None
        self._stall_timer = None
        if self._socket.get_write_buffer_size() < self._stalled_size:
            self._watch_stall()  # slow, and going on
            return
        error = NatsTimeoutError(f"the server took nothing for {self._write_timeout:g} s")
        self.abort()
        self._lost(error)

    # life

    async def start_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Turn the open socket into a TLS one."""
        assert self._socket is not None
        upgraded = await self._loop.start_tls(self._socket, self, context, server_hostname=hostname)
        if upgraded is None:
            raise ConnectionResetError("connection lost during the TLS handshake")
        self._socket = upgraded
        upgraded.set_write_buffer_limits(high=HIGH_WATER)

    def take_unsent(self) -> list[bytes]:
        """The frames never handed over, which are then forgotten here."""
        out = list(map(bytes, self.frames))
        self.frames.clear()
        self.unsent = 0
        self._note_congestion()
        return out

    def abort(self) -> None:
        """Drop the socket at once, with all that is unsent."""
        if self._socket is not None:
            self._lost_size = max(self._lost_size, self._socket.get_write_buffer_size())
            self._socket.abort()
        self._gone()

    def close(self) -> None:
        """Send what is collected, then close; the socket is let go of at once."""
        self._full = self._held = False
        self.bytes_out += self.unsent
        out = self.take_unsent()
        if self._socket is not None:
            if out:
                self._socket.write(b"".join(out))
            self._left = self._socket.get_write_buffer_size()
            self._socket.close()
        self._gone()

    async def gone(self, timeout: float) -> int:
        """Wait until the socket of a closed transport is gone; abort it after `timeout` seconds.

        Returns the bytes that were with the socket and are lost, at most: what a peer that reset
        the connection had taken before is not known.
        """
        if self._socket is None:
            return 0
        try:
            async with asyncio.timeout(timeout):
                await self._socket_gone.wait()
        except TimeoutError:
            self.abort()
            await self._socket_gone.wait()
        return self._lost_size

    def _gone(self) -> None:
        self.is_open = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._wake()

    def address(self, which: str) -> tuple[str, int] | None:
        """The socket's own ("sockname") or the server's ("peername") address and port."""
        found = self._socket.get_extra_info(which) if self._socket is not None else None
        return (found[0], found[1]) if found else None


def _pieces(frames: list[Frame]) -> Iterator[tuple[list[Frame], int]]:
    """The frames in runs of up to `JOIN_BELOW` bytes, with the bytes of each; a large one alone."""
    for first in range(0, len(frames), _BLOCK):
        block = frames[first : first + _BLOCK]
        ends = list(accumulate(map(len, block)))
        done = before = 0
        while done < len(block):
            start, done = done, max(done + 1, bisect_right(ends, before + JOIN_BELOW, done))
            yield block[start:done], ends[done - 1] - before
            before = ends[done - 1]

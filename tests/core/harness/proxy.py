"""A recording proxy in front of a real nats-server, which cuts, stalls and splits on demand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

from natsrpc.server.ports import hold_port

from .frames import Frame, parse_frames
from .server import reset_socket
from .waiting import turns

CHUNK = 65536


class Link:
    """One proxied connection: up is what the client sent, down what the server sent."""

    def __init__(self) -> None:
        self.up = bytearray()
        self.down = bytearray()
        self.closed = asyncio.Event()
        self.is_silent = False
        self.writers: list[asyncio.StreamWriter] = []

    def frames(self) -> list[Frame]:
        """The client's frames so far (not behind TLS)."""
        return parse_frames(bytes(self.up))

    def swallow(self) -> None:
        """From now on take all that comes from both sides, and pass nothing on: a half-open link.

        Neither side hears of the other's end either.
        """
        self.is_silent = True

    def cut(self, *, reset: bool = True) -> None:
        """Break the connection on both sides: with RST, or with FIN."""
        for writer in self.writers:
            if reset:
                reset_socket(writer.transport)
            else:
                writer.close()


class Proxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`; a new connection is a new `Link`.

    piece: forward at most so many bytes at a time, each in its own read (None: as they come).
    delay: seconds to wait before each piece.
    records: whether links keep all bytes; not for hours of traffic.
    """

    def __init__(
        self, target: int, *, host: str = "127.0.0.1", port: int = 0, records: bool = True
    ) -> None:
        self.records = records
        self.links: list[Link] = []
        self.piece: int | None = None
        self.delay = 0.0
        self.port = port
        self._target = (host, target)
        self._listener: asyncio.Server | None = None
        self._held_port: socket.socket | None = None
        self._flowing = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._tasks: set[asyncio.Task[None]] = set()
        self.resume()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        if self._held_port is not None:
            self._held_port.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await turns()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Accept connections (again), on the same port as before."""
        if self._held_port is None:  # it must be ours also while nobody listens
            self._held_port = hold_port("127.0.0.1", self.port)
            if self._held_port is not None:
                self.port = self._held_port.getsockname()[1]
        # asyncio sets TCP_NODELAY on sockets that say they are TCP.
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._listener = await asyncio.start_server(self._accept, sock=sock)

    @property
    def is_listening(self) -> bool:
        return self._listener is not None

    def refuse(self) -> None:
        """Stop listening; live links stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Stop forwarding (and so, soon, reading) in these directions."""
        for name, wanted in (("up", up), ("down", down)):
            if wanted:
                self._flowing[name].clear()

    def resume(self) -> None:
        for flowing in self._flowing.values():
            flowing.set()

    def swallow(self) -> None:
        """Make every live link half-open; new ones are whole."""
        for link in self.links:
            link.swallow()

    def cut(self, *, reset: bool = True) -> None:
        """Break every live link."""
        for link in self.links:
            link.cut(reset=reset)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_listening:  # it was accepted as listening ended
            reset_socket(writer.transport)
            return
        link = Link()
        link.writers.append(writer)
        self.links.append(link)  # at once: a task that is cancelled before it begins closes nothing
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link
    ) -> None:
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                link.writers.append(far_writer)
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(self._pump("up", reader, far_writer, link))
                    directions.create_task(self._pump("down", far_reader, writer, link))
        finally:
            link.cut()
            link.closed.set()

    async def _pump(
        self, name: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: Link
    ) -> None:
        """Copy until EOF, which is passed on; errors end this direction as an EOF would."""
        record = link.up if name == "up" else link.down
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self._flowing[name].wait()
                if self.records:
                    record += data
                if link.is_silent:
                    continue
                step = self.piece or len(data)
                for start in range(0, len(data), step):
                    if self.delay:
                        await asyncio.sleep(self.delay)  # why: a slow link is what was asked for
                    await self._flowing[name].wait()
                    sink.write(data[start : start + step])
                    await (turns() if self.piece else sink.drain())
        if link.is_silent:
            return
        with contextlib.suppress(OSError):
            if not sink.is_closing():
                sink.close()

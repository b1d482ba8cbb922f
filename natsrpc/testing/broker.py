"""A NATS server in memory: real wire bytes, no socket, no process.

It does what core NATS does: wildcards, queue groups, headers, no responders, echo,
auto-unsubscribe, `max_payload`. And it fails when asked to: `disconnect`, `refuse`, and `Fault`s
that drop or delay messages or hide the responders of a subject. A client reaches it through the
`dialer` option, so everything above the socket is what production runs.

All of it lives on one event loop, and nothing waits: a publish is delivered within a few loop
turns, so tests need no sleeping.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Unpack

from natsrpc import core
from natsrpc.core import Connection, ConnectOptions, Opening, matches
from natsrpc.errors import RemoteProtocolError

from .pipe import PipeTransport
from .requests import Frame, FrameReader

MIB = 1024 * 1024

_PATIENCE = 10_000
_REPLAY = 10
"""Loop turns after a handshake in which a client has sent its subscriptions."""


@dataclass(slots=True)
class Fault:
    """What goes wrong with messages on subjects that match `subject`.

    `drop` loses them, `delay` holds them back for so many seconds, `no_responders` makes requests
    find nobody. It hits the next `times` messages, all if None; `hits` counts.
    """

    subject: str
    drop: bool = False
    delay: float = 0.0
    no_responders: bool = False
    times: int | None = None
    hits: int = 0

    def strikes(self, subject: str) -> bool:
        """Whether this message is hit; counts it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not matches(self.subject, subject):
            return False
        self.hits += 1
        return True


@dataclass(slots=True, eq=False)
class _Interest:
    peer: _Peer
    sid: bytes
    subject: str
    queue_group: str
    max_msgs: int | None = None
    delivered: int = 0


@dataclass(slots=True)
class Published:
    """One message that reached the broker, for tests to look at."""

    subject: str
    data: bytes
    reply: str = ""
    headers: bytes = field(default=b"", repr=False)


class Broker:
    """A NATS server in this process.

    Args:
        max_payload: bytes of headers and payload a message may have.
        seed: of the choice among a queue group's members.

    `published` holds every message in the order of arrival; `faults` those in force.
    """

    def __init__(self, *, max_payload: int = MIB, seed: int = 0) -> None:
        self.max_payload = max_payload
        self.published: list[Published] = []
        self.faults: list[Fault] = []
        self.is_refusing: bool = False
        self._random = random.Random(seed)
        self._peers: set[_Peer] = set()
        self._interests: list[_Interest] = []
        self._ids = itertools.count(1)

    # connecting

    def connect(self, **options: Unpack[ConnectOptions]) -> Opening[Connection]:
        """Connect a `natsrpc.core.Connection`; `options` are those of `natsrpc.core.connect`."""
        return core.connect("nats://memory:4222", **self.options(**options))

    def options(self, **options: Unpack[ConnectOptions]) -> ConnectOptions:
        """Connect options that lead to this broker: `natsrpc.connect(**broker.options())`."""
        return {"dialer": self.dial, "reconnect_wait": 0.0, "reconnect_jitter": 0.0, **options}

    async def dial(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect a protocol, in the manner of `loop.create_connection`.

        Raises:
            ConnectionRefusedError: the broker is refusing.
        """
        if self.is_refusing:
            raise ConnectionRefusedError("the broker refuses connections")
        loop = asyncio.get_running_loop()
        protocol = factory()
        peer = _Peer(self, next(self._ids))
        peer.pipe = PipeTransport(loop, protocol, received=peer.received, gone=peer.gone)
        self._peers.add(peer)
        peer.greet()
        return peer.pipe, protocol

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._peers)

    async def until_connected(self, connections: int) -> None:
        """Wait until so many clients are connected, their subscriptions replayed.

        Raises:
            TimeoutError: they did not come within many loop turns.
        """
        for _ in range(_PATIENCE):
            if sum(peer.is_ready for peer in self._peers) >= connections:
                for _ in range(_REPLAY):
                    await asyncio.sleep(0)
                return
            await asyncio.sleep(0)
        raise TimeoutError(f"{len(self._peers)} of {connections} clients are connected")

    def disconnect(self) -> None:
        """Drop every connection, as a failing network does."""
        for peer in list(self._peers):
            peer.lose()

    @contextmanager
    def refuse(self) -> Iterator[None]:
        """Drop every connection and refuse new ones until the end of the block."""
        self.is_refusing = True
        self.disconnect()
        try:
            yield
        finally:
            self.is_refusing = False

    @contextmanager
    def fault(self, subject: str, **what: Any) -> Iterator[Fault]:
        """Put a `Fault` in force until the end of the block."""
        fault = Fault(subject, **what)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    # routing

    def subscribe(self, interest: _Interest) -> None:
        """Deliver to it from now on."""
        self._interests.append(interest)

    def interest(self, peer: _Peer, sid: bytes) -> _Interest | None:
        """The live subscription of this number."""
        return next((i for i in self._interests if i.peer is peer and i.sid == sid), None)

    def forget(self, interest: _Interest) -> None:
        """Deliver to it no more."""
        if interest in self._interests:
            self._interests.remove(interest)

    def forget_peer(self, peer: _Peer) -> None:
        """Everything of one connection ends."""
        self._peers.discard(peer)
        self._interests = [i for i in self._interests if i.peer is not peer]

    def publish(self, sender: _Peer, message: Published) -> None:
        """Route one message, unless a fault is in its way."""
        self.published.append(message)
        fault = next((f for f in self.faults if f.strikes(message.subject)), None)
        if fault is None:
            self._route(sender, message)
        elif fault.no_responders:
            self._tell_no_responders(sender, message)
        elif fault.delay and not fault.drop:
            loop = asyncio.get_running_loop()
            loop.call_later(fault.delay, self._route, sender, message)

    def _route(self, sender: _Peer, message: Published) -> None:
        matching = [i for i in self._interests if self._wants(i, sender, message.subject)]
        groups: dict[str, list[_Interest]] = {}
        chosen = [i for i in matching if not i.queue_group]
        for interest in matching:
            if interest.queue_group:
                groups.setdefault(interest.queue_group, []).append(interest)
        chosen += [self._random.choice(members) for members in groups.values()]
        for interest in chosen:
            interest.peer.deliver(interest, message)
        if not chosen and message.reply:
            self._tell_no_responders(sender, message)

    def _wants(self, interest: _Interest, sender: _Peer, subject: str) -> bool:
        if interest.peer is sender and not sender.echo:
            return False
        return matches(interest.subject, subject)

    def _tell_no_responders(self, sender: _Peer, message: Published) -> None:
        waiting = next(
            (
                i
                for i in self._interests
                if i.peer is sender and not i.queue_group and matches(i.subject, message.reply)
            ),
            None,
        )
        if waiting is not None and sender.no_responders:
            block = f"NATS/1.0 503\r\nNats-Subject: {message.subject}\r\n\r\n".encode()
            sender.deliver(waiting, Published(message.reply, b"", headers=block), counted=False)


class _Peer:
    """One connection, seen from the broker."""

    pipe: PipeTransport

    def __init__(self, broker: Broker, number: int) -> None:
        self._broker = broker
        self._number = number
        self._reader = FrameReader()
        self.is_ready: bool = False
        self.echo: bool = True
        self.no_responders: bool = False

    def greet(self) -> None:
        """Send the INFO that opens every connection."""
        info = {
            "server_id": "MEMORY",
            "server_name": "memory",
            "version": "2.12.0",
            "proto": 1,
            "headers": True,
            "max_payload": self._broker.max_payload,
            "client_id": self._number,
            "host": "memory",
            "port": 4222,
        }
        self.pipe.deliver(b"INFO " + json.dumps(info).encode() + b" \r\n")

    def received(self, data: bytes) -> None:
        """Act on what the client wrote."""
        try:
            for frame in self._reader.feed(data):
                if self.pipe.is_closing():
                    return
                self._act(frame)
        except RemoteProtocolError as error:
            self._refuse(str(error))

    def _act(self, frame: Frame) -> None:
        if frame.op in (b"PUB", b"HPUB"):
            self._publish(frame)
        elif frame.op == b"SUB":
            subject, *group, sid = (arg.decode() for arg in frame.args)
            interest = _Interest(self, sid.encode(), subject, group[0] if group else "")
            self._broker.subscribe(interest)
        elif frame.op == b"UNSUB":
            self._unsubscribe(frame.args)
        elif frame.op == b"PING":
            self.pipe.deliver(b"PONG\r\n")
            self.is_ready = True
        elif frame.op == b"CONNECT":
            fields = json.loads(frame.args[0])
            self.echo = fields.get("echo", True)
            self.no_responders = fields.get("no_responders", False)

    def _publish(self, frame: Frame) -> None:
        if len(frame.headers) + len(frame.data) > self._broker.max_payload:
            self._refuse("Maximum Payload Violation")
            return
        subject, *reply = (arg.decode("utf-8", "surrogateescape") for arg in frame.args)
        message = Published(subject, frame.data, reply[0] if reply else "", frame.headers)
        self._broker.publish(self, message)

    def _unsubscribe(self, args: list[bytes]) -> None:
        interest = self._broker.interest(self, args[0])
        if interest is None:
            return
        interest.max_msgs = int(args[1]) if len(args) > 1 else 0
        if interest.delivered >= interest.max_msgs:
            self._broker.forget(interest)

    def deliver(self, interest: _Interest, message: Published, *, counted: bool = True) -> None:
        """Send a message for one subscription; ends it at its limit."""
        subject = message.subject.encode("utf-8", "surrogateescape")
        reply = f" {message.reply}".encode("utf-8", "surrogateescape") if message.reply else b""
        size = len(message.headers) + len(message.data)
        sizes = b"%d %d" % (len(message.headers), size) if message.headers else b"%d" % size
        op = b"HMSG" if message.headers else b"MSG"
        line = b"%b %b %b%b %b\r\n" % (op, subject, interest.sid, reply, sizes)
        self.pipe.deliver(line + message.headers + message.data + b"\r\n")
        if counted:
            interest.delivered += 1
            if interest.max_msgs is not None and interest.delivered >= interest.max_msgs:
                self._broker.forget(interest)

    def _refuse(self, text: str) -> None:
        self.pipe.deliver(f"-ERR '{text}'\r\n".encode())
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        """Drop the connection from this side."""
        self._broker.forget_peer(self)
        self.pipe.lose()

    def gone(self) -> None:
        """The client ended the connection."""
        self._broker.forget_peer(self)

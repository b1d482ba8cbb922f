"""A NATS server in memory: real wire bytes, no socket, no process. Tests connect clients to it.

It has the features of core NATS: wildcards, queue groups, headers, no responders, echo,
auto-unsubscribe, `max_payload`; and a JetStream, which room `jetstream` describes. It has no
authentication, TLS or cluster. It fails when asked to: `disconnect`, `refuse`, and `fault`, which
drops or delays messages or hides the responders of a subject. A client reaches it through the
`dialer` option, so everything above the socket is the code that runs in production.

Broker and clients share one event loop, and nothing waits: a publish is delivered within a few loop
turns, so tests need not sleep.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Unpack

from natsrpc import core
from natsrpc.core import Connection, ConnectOptions, Opening, matches
from natsrpc.errors import RemoteProtocolError, StreamNotFoundError

from .frames import ClientFrame, FrameReader
from .jetstream import LEVEL, VERSION, JetStreamServer, StoredStream
from .pipe import PipeTransport

MIB = 1024 * 1024

# Counted in loop turns, not in seconds: a test under a stopped clock must get on, too.
_PATIENCE = 10_000
_REPLAY = 10
"""Loop turns after a handshake in which a client has sent its subscriptions."""


@dataclass(slots=True)
class Fault:
    """A failure of messages on matching subjects, put in force by `Broker.fault`.

    If several of `no_responders`, `drop` and `delay` are set, the first of them holds.
    """

    subject: str
    """The subject, possibly with wildcards, of the messages that are hit."""
    drop: bool = False
    """Lose them."""
    delay: float = 0.0
    """Hold each back for so many seconds. Messages behind it overtake it."""
    no_responders: bool = False
    """Answer requests as if nobody was subscribed, and lose other messages."""
    times: int | None = None
    """Hit only so many messages; all if None."""
    hits: int = 0
    """The messages hit so far."""

    def strikes(self, subject: str) -> bool:
        """Return whether a message on this subject is hit, and count it if so."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not matches(self.subject, subject):
            return False
        self.hits += 1
        return True


@dataclass(slots=True, eq=False)
class _Interest:
    """One subscription of one client. `max_msgs` is that of an UNSUB, counted from the SUB."""

    peer: _Peer
    sid: bytes
    subject: str
    queue_group: str
    max_msgs: int | None = None
    delivered: int = 0


@dataclass(slots=True)
class Published:
    """One message that reached the broker. Tests find it in `Broker.published`.

    `headers` is the header block as written on the wire, `b""` if there is none.
    """

    subject: str
    data: bytes
    reply: str = ""
    headers: bytes = field(default=b"", repr=False)


class Broker:
    """A NATS server in this process. One event loop owns it.

    Args:
        max_payload: the most bytes of headers and payload together that a message may have.
        seed: the seed of the random choice among the members of a queue group.
        jetstream: whether it has a JetStream.

    `published` holds every message in the order of arrival, also those that a fault loses. `faults`
    holds the faults in force; the first that matches a message is the one that hits it.
    `is_refusing` tells whether new connections are refused, `num_delayed` how many messages a fault
    holds back.
    """

    def __init__(self, *, max_payload: int = MIB, seed: int = 0, jetstream: bool = True) -> None:
        self.max_payload = max_payload
        self.jetstream: JetStreamServer | None = JetStreamServer(self) if jetstream else None
        self.published: list[Published] = []
        self.faults: list[Fault] = []
        self.is_refusing: bool = False
        self.num_delayed: int = 0
        self._none_delayed = asyncio.Event()
        self._random = random.Random(seed)  # noqa: S311  faults of tests
        self._peers: set[_Peer] = set()
        self._interests: list[_Interest] = []
        self._ids = itertools.count(1)

    # connecting

    def connect(self, **options: Unpack[ConnectOptions]) -> Opening[Connection]:
        """Connect a `natsrpc.core.Connection` to this broker: await the result, or enter it.

        Args:
            options: those of `natsrpc.core.connect`; they override the ones of `Broker.options`.

        Raises:
            ConfigError: an option is unknown or has a bad value.
            NoServersError: the broker is refusing connections.
        """
        return core.connect("nats://memory:4222", **self.options(**options))

    def options(self, **options: Unpack[ConnectOptions]) -> ConnectOptions:
        """Return the connect options that lead to this broker, overridden by those given.

        Use them as `natsrpc.connect(**broker.options())`. They set the dialer, and reconnect waits
        of zero.
        """
        return {"dialer": self.dial, "reconnect_wait": 0.0, "reconnect_jitter": 0.0, **options}

    async def dial(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        context: contextvars.Context | None = None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect a protocol, in the manner of `loop.create_connection`: the `dialer` option.

        Host and port are ignored. Nothing is waited for. What comes is received with the context
        variables of now, as from a socket, or with those of `context`.

        Raises:
            ConnectionRefusedError: the broker is refusing connections.
        """
        if self.is_refusing:
            raise ConnectionRefusedError("the broker refuses connections")
        loop = asyncio.get_running_loop()
        protocol = factory()
        peer = _Peer(self, next(self._ids))
        peer.pipe = PipeTransport(
            loop,
            protocol,
            context=contextvars.copy_context() if context is None else context,
            received=peer.received,
            gone=peer.gone,
        )
        self._peers.add(peer)
        peer.greet()
        return peer.pipe, protocol

    @property
    def connections(self) -> int:
        """The number of connected clients."""
        return len(self._peers)

    async def until_connected(self, connections: int) -> None:
        """Wait until at least so many clients are connected and have replayed their subscriptions.

        It may be cancelled at any time.

        Raises:
            TimeoutError: 10,000 loop turns were not enough.
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
        """Drop every connection, and refuse new ones until the end of the block."""
        self.is_refusing = True
        self.disconnect()
        try:
            yield
        finally:
            self.is_refusing = False

    @contextmanager
    def fault(self, subject: str, **what: Any) -> Iterator[Fault]:
        """Put a `Fault` in force until the end of the block.

        Args:
            subject: the messages that are hit, possibly with wildcards.
            what: the other fields of `Fault`, as in `drop=True`.
        """
        fault = Fault(subject, **what)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def stream(self, name: str) -> StoredStream:
        """Return a stream, to look at the messages that it holds now.

        Raises:
            StreamNotFoundError: there is no such stream; those that there are are named.
        """
        streams = {} if self.jetstream is None else self.jetstream.streams
        if name not in streams:
            there = ", ".join(map(repr, streams)) or "none"
            raise StreamNotFoundError(f"there is no stream {name!r}; there are: {there}", code=404)
        return StoredStream(streams[name])

    # what the JetStream sends: see `jetstream.wire`

    def has_interest(self, subject: str) -> bool:
        """Whether somebody is subscribed to a subject."""
        return any(matches(interest.subject, subject) for interest in self._interests)

    def send(
        self, to: str, subject: str, data: bytes, *, reply: str = "", headers: bytes = b""
    ) -> None:
        """Deliver a message of the JetStream to the subscriptions that match `to`."""
        message = Published(subject, data, reply, headers)
        for interest in self._chosen([i for i in self._interests if matches(i.subject, to)]):
            interest.peer.deliver(interest, message)

    def publish_own(self, subject: str, data: bytes, headers: bytes = b"") -> None:
        """Publish for the JetStream: to subscriptions and streams."""
        self._route(None, Published(subject, data, headers=headers))

    # routing: called by the peers, not by tests

    def subscribe(self, interest: _Interest) -> None:
        """Add a subscription."""
        self._interests.append(interest)

    def interest(self, peer: _Peer, sid: bytes) -> _Interest | None:
        """Return the client's subscription with this sid; None if it has ended."""
        return next((i for i in self._interests if i.peer is peer and i.sid == sid), None)

    def forget(self, interest: _Interest) -> None:
        """Remove a subscription. One that was removed already is ignored."""
        if interest in self._interests:
            self._interests.remove(interest)

    def forget_peer(self, peer: _Peer) -> None:
        """Remove a client and all its subscriptions."""
        self._peers.discard(peer)
        self._interests = [i for i in self._interests if i.peer is not peer]

    def publish(self, sender: _Peer, message: Published) -> None:
        """Record one message and deliver it, unless a fault hits it."""
        self.published.append(message)
        fault = next((f for f in self.faults if f.strikes(message.subject)), None)
        if fault is None:
            self._route(sender, message)
        elif fault.no_responders:
            self._tell_no_responders(sender, message)
        elif fault.delay and not fault.drop:
            self.num_delayed += 1
            loop = asyncio.get_running_loop()
            loop.call_later(fault.delay, self._route_late, sender, message)

    def _route_late(self, sender: _Peer, message: Published) -> None:
        self.num_delayed -= 1
        self._route(sender, message)
        if not self.num_delayed:
            self._none_delayed.set()

    async def delivered(self) -> None:
        """Wait until a `Fault` holds no message back any more. It may be cancelled at any time."""
        while self.num_delayed:
            self._none_delayed.clear()
            await self._none_delayed.wait()

    def _route(self, sender: _Peer | None, message: Published) -> None:
        taken = self._take(sender, message)
        chosen = self._chosen(
            [i for i in self._interests if self._wants(i, sender, message.subject)]
        )
        for interest in chosen:
            interest.peer.deliver(interest, message)
        if not chosen and not taken and message.reply and sender is not None:
            self._tell_no_responders(sender, message)

    def _take(self, sender: _Peer | None, message: Published) -> bool:
        """Give a message to the JetStream; whether somebody there was meant."""
        if self.jetstream is None:
            return False
        client = 0 if sender is None else sender.number
        return self.jetstream.take(
            client, message.subject, message.data, message.reply, message.headers
        )

    def _chosen(self, matching: list[_Interest]) -> list[_Interest]:
        """Those who get a message: one of each queue group."""
        groups: dict[str, list[_Interest]] = {}
        chosen = [i for i in matching if not i.queue_group]
        for interest in matching:
            if interest.queue_group:
                groups.setdefault(interest.queue_group, []).append(interest)
        return chosen + [self._random.choice(members) for members in groups.values()]

    def _wants(self, interest: _Interest, sender: _Peer | None, subject: str) -> bool:
        if sender is not None and interest.peer is sender and not sender.echo:
            return False
        return matches(interest.subject, subject)

    def _tell_no_responders(self, sender: _Peer, message: Published) -> None:
        # nats-server answers 503 to the requester alone, and only if its CONNECT asked for that
        waiting = next(
            (
                i
                for i in self._interests
                if i.peer is sender and not i.queue_group and matches(i.subject, message.reply)
            ),
            None,
        )
        if message.reply and waiting is not None and sender.no_responders:
            block = f"NATS/1.0 503\r\nNats-Subject: {message.subject}\r\n\r\n".encode()
            sender.deliver(waiting, Published(message.reply, b"", headers=block), counted=False)


class _Peer:
    """One client's connection, at the broker's end: reads its frames and writes to it."""

    pipe: PipeTransport

    def __init__(self, broker: Broker, number: int) -> None:
        self._broker = broker
        self.number = number
        self._reader = FrameReader()
        self.is_ready: bool = False
        self.echo: bool = True
        self.no_responders: bool = False

    def greet(self) -> None:
        """Send the INFO with which a server opens every connection."""
        info = {
            "server_id": "MEMORY",
            "server_name": "memory",
            "version": VERSION,
            "proto": 1,
            "headers": True,
            **({"jetstream": True, "api_lvl": LEVEL} if self._broker.jetstream else {}),
            "max_payload": self._broker.max_payload,
            "client_id": self.number,
            "host": "memory",
            "port": 4222,
        }
        self.pipe.deliver(b"INFO " + json.dumps(info).encode() + b" \r\n")

    def received(self, data: bytes) -> None:
        """Act on the next chunk of the client's stream."""
        try:
            for frame in self._reader.feed(data):
                # a frame before this one may have ended the connection
                if self.pipe.is_closing():
                    return
                self._act(frame)
        except RemoteProtocolError as error:
            self._refuse(str(error))

    def _act(self, frame: ClientFrame) -> None:
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

    def _publish(self, frame: ClientFrame) -> None:
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
        """Send a message to one subscription, and end the subscription at its `max_msgs`.

        `counted` is False for a 503: it is no delivery and does not count toward the limit.
        """
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
        """Drop the connection from the broker's side."""
        self._broker.forget_peer(self)
        self.pipe.lose()

    def gone(self) -> None:
        """Forget the client, which ended the connection."""
        self._broker.forget_peer(self)

"""The JetStream of a server in memory: its streams and consumers, and what reaches them.

The broker gives every message to `take` first. Requests to the API, pulls, acks and direct gets end
here; what a stream has the subject of is stored, and goes on to subscriptions as well.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from natsrpc.core import random_text
from natsrpc.errors import JetStreamError

from . import acks, gets
from .api import PREFIX, answer
from .configs import Raw
from .consumer import Consumer
from .moments import Moments, rfc3339
from .pulls import Asked
from .refusals import refused
from .stream import Stream
from .wire import Wire

_NEXT = PREFIX + "CONSUMER.MSG.NEXT."
_DIRECT = PREFIX + "DIRECT.GET."
_ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER"
_KINDS = {"MAX_DELIVERIES": "max_deliver", "MSG_TERMINATED": "terminated", "MSG_NAKED": "nak"}


class JetStreamServer:
    """The streams of one server in memory."""

    def __init__(self, wire: Wire) -> None:
        self.wire: Wire = wire
        self.moments: Moments = Moments()
        self.streams: dict[str, Stream] = {}
        self._changed = asyncio.Event()

    # what comes

    def take(self, client: int, subject: str, data: bytes, reply: str, block: bytes) -> bool:
        """Take a message that was published by a client; whether somebody here was meant.

        It still goes to the subscriptions that match it.
        """
        if subject.startswith("$JS."):
            return self._take_own(client, subject, data, reply)
        stream = next((each for each in self.streams.values() if each.has(subject)), None)
        if stream is None:
            return False
        self._store(stream, subject, data, reply, block)
        return True

    def _take_own(self, client: int, subject: str, data: bytes, reply: str) -> bool:
        if subject.startswith(_NEXT):
            return self._take_pull(client, subject, data, reply)
        if subject.startswith(_DIRECT):
            return self._take_get(subject, data, reply)
        if subject.startswith(PREFIX):
            if reply:
                self._answer(reply, answer(self, subject.removeprefix(PREFIX), data))
            return True
        return subject.startswith(acks.PREFIX) and self._take_ack(client, subject, data, reply)

    def _store(self, stream: Stream, subject: str, data: bytes, reply: str, block: bytes) -> None:
        try:
            told, message = stream.store(subject, data, block)
        except JetStreamError as error:
            told = {"error": as_json(error), "stream": stream.name, "seq": 0}
            message = None
        if reply and not stream.config.get("no_ack"):
            self._answer(reply, told)
        if message is not None:
            stream.tell(message)

    def _answer(self, reply: str, told: dict[str, Any]) -> None:
        self.wire.send(reply, reply, json.dumps(told).encode())

    def _take_pull(self, client: int, subject: str, data: bytes, reply: str) -> bool:
        names = subject.removeprefix(_NEXT).split(".")
        consumer = self.find(*names) if len(names) == 2 else None
        if consumer is None:
            return False
        self._pull(consumer, client, data, reply)
        return True

    def _pull(self, consumer: Consumer, client: int, data: bytes, inbox: str) -> None:
        try:
            asked = Asked(data)
        except JetStreamError as error:
            text = f"NATS/1.0 400 Bad Request - {error.description}\r\n\r\n"
            self.wire.send(inbox, inbox, b"", headers=text.encode())
            return
        consumer.pull(asked, inbox, client)

    def _take_get(self, subject: str, data: bytes, reply: str) -> bool:
        name, _, of_subject = subject.removeprefix(_DIRECT).partition(".")
        stream = self.streams.get(name)
        if stream is None or not stream.config["allow_direct"]:
            return False
        block, found = gets.direct(stream, of_subject, data)
        self.wire.send(reply, reply, found, headers=block)
        return True

    def _take_ack(self, client: int, subject: str, data: bytes, reply: str) -> bool:
        place = acks.place_of(subject)
        consumer = self.find(*place[:2]) if place is not None else None
        if place is None or consumer is None or consumer.config["ack_policy"] == "none":
            return False
        seq = place[2]
        following = acks.say(consumer, seq, data)
        if following is not None and reply:
            self._pull(consumer, client, following, reply)
        elif reply and consumer.was_delivered(seq):
            self.wire.send(reply, reply, b"")
        return True

    # streams and consumers

    def find(self, stream: str, consumer: str) -> Consumer | None:
        """A consumer by the names of its stream and itself."""
        found = self.streams.get(stream)
        return found.readers.get(consumer) if found is not None else None

    def stream(self, name: str) -> Stream:
        """A stream by its name.

        Raises:
            JetStreamError: there is none.
        """
        if name not in self.streams:
            raise refused(10059)
        return self.streams[name]

    def add_stream(self, config: Raw) -> Stream:
        """Make a stream."""
        stream = Stream(config, self.moments, self.wire)
        self.streams[stream.name] = stream
        return stream

    def delete_stream(self, name: str) -> None:
        """Delete a stream and its consumers.

        Raises:
            JetStreamError: there is none.
        """
        stream = self.stream(name)
        del self.streams[name]
        for consumer in stream.readers.values():
            consumer.close()
        stream.close()
        self.changed()

    def add_consumer(self, stream: Stream, config: Raw) -> Consumer:
        """Make a consumer."""
        consumer = Consumer(config, stream, self)
        stream.readers[consumer.name] = consumer
        return consumer

    def delete_consumer(self, consumer: Consumer) -> None:
        """Delete a consumer."""
        if consumer.stream.readers.pop(consumer.name, None) is consumer:
            consumer.close()
            consumer.stream.clear_unwanted()
            self.changed()

    # what consumers need: see `Host`

    def advise(self, consumer: Consumer, event: str, facts: dict[str, Any]) -> None:
        """Tell an event of a consumer to those who listen."""
        stream = consumer.stream.name
        advisory = {
            "type": f"io.nats.jetstream.advisory.v1.{_KINDS[event]}",
            "id": random_text(22).decode(),
            "timestamp": rfc3339(self.moments.now()),
            "stream": stream,
            "consumer": consumer.name,
            **facts,
        }
        subject = f"{_ADVISORY}.{event}.{stream}.{consumer.name}"
        self.wire.publish_own(subject, json.dumps(advisory).encode())

    def idle(self, consumer: Consumer) -> None:
        """Nobody has used a consumer for as long as it was to live so."""
        self.delete_consumer(consumer)

    def changed(self) -> None:
        """A delivery has its word, or its time is over."""
        self._changed.set()

    # what tests wait for

    def served_by(self, client: int) -> list[Consumer]:
        """The consumers that this client has pulled from."""
        return [
            consumer
            for stream in self.streams.values()
            for consumer in stream.readers.values()
            if client in consumer.clients
        ]

    async def word(self) -> None:
        """Wait until a client says what became of a delivery, or its time is over."""
        self._changed.clear()
        await self._changed.wait()


def as_json(error: JetStreamError) -> dict[str, Any]:
    """A refusal as it goes over the wire."""
    return {"code": error.code, "err_code": error.err_code, "description": error.description}

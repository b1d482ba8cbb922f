"""Waiting for events in a test: until the last handler has ended, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import natsrpc
from natsrpc import Client, Event
from natsrpc.errors import ConfigError, NatsTimeoutError
from natsrpc.jetstream import ConsumerConfig, JetStream, Messages, StreamConfig
from natsrpc.testing import Broker, Clock, serve_in_memory

first = Event("first", int)
second = Event("second", int)


class Relay:
    """Two services: events of one lead to events of the other, so many times."""

    def __init__(self, times: int = 1) -> None:
        self.got: list[tuple[str, int]] = []
        self.orders = natsrpc.Service("orders", version="1.0.0", publishes=[second])
        self.billing = natsrpc.Service("billing", version="1.0.0", publishes=[first])

        @self.orders.subscriber(first)
        async def relay(number: int, client: Client) -> None:
            await asyncio.sleep(0)
            self.got.append(("relay", number))
            await client.publish(second, number)

        @self.billing.subscriber(second)
        async def back(number: int, client: Client) -> None:
            self.got.append(("back", number))
            if number < times:
                await client.publish(first, number + 1)


async def test_events_that_handlers_publish_are_waited_for() -> None:
    relay = Relay(times=20)
    async with serve_in_memory(relay.orders, relay.billing) as client:
        assert await client.settled() == []  # nothing is published yet
        await client.publish(first, 1)
        assert await client.settled(timeout=1) == []
    assert relay.got == [
        each for number in range(1, 21) for each in (("relay", number), ("back", number))
    ]


async def test_what_came_of_failed_events_is_given_once() -> None:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.subscriber(first, max_concurrency=1, max_waiting=1)
    async def take(number: int) -> None:
        await asyncio.sleep(0)
        raise ValueError(f"bad {number}")

    async with service.test() as client:
        await client.publish("first", "junk")
        (unread,) = await client.settled()
        assert isinstance(unread, natsrpc.InvalidRequestError)
        for number in range(3):
            await client.publish(first, number)
        failed = await client.settled()
        assert sorted(map(type, failed), key=str) == [
            ValueError,
            ValueError,
            natsrpc.OverloadedError,
        ]
        assert failed[-1].__notes__ == ["of the event on 'first', at subscriber 'take'"]
        assert await client.settled() == []


async def test_a_handler_that_does_not_end_is_named() -> None:
    service, go = natsrpc.Service("shop", version="1.0.0"), asyncio.Event()

    @service.subscriber(first, ordered=True)
    async def take(number: int) -> None:
        await go.wait()

    async with service.test() as client:
        await client.publish(first, 1)
        await client.publish(first, 2)
        told = "subscriber 'take' of service 'shop' 1 run and 1 wait"
        with pytest.raises(NatsTimeoutError, match=told):
            await client.settled(timeout=0.01)
        go.set()
        assert await client.settled() == []


async def test_open_calls_are_not_waited_for() -> None:
    service, go, got = natsrpc.Service("shop", version="1.0.0"), asyncio.Event(), list[int]()

    @service.handler("slow")
    async def slow() -> None:
        await go.wait()

    @service.subscriber(first)
    async def take(number: int) -> None:
        got.append(number)

    async with service.test() as client:
        call = asyncio.ensure_future(client.call(slow))
        await client.publish(first, 1)
        assert await client.settled() == []
        assert (got, call.done()) == ([1], False)
        go.set()
        await call


async def test_what_a_fault_delays_is_waited_for_and_what_it_loses_is_not() -> None:
    clock, broker = Clock.install(), Broker()
    service, got = natsrpc.Service("shop", version="1.0.0"), list[int]()

    @service.subscriber(first)
    async def take(number: int) -> None:
        got.append(number)

    async with service.test(broker=broker) as client:
        with broker.fault("first", delay=0.5, times=1):
            await client.publish(first, 1)
            settling = asyncio.ensure_future(client.settled())
            for _ in range(100):
                await asyncio.sleep(0)
            assert broker.num_delayed == 1
            assert not settling.done()
            await clock.advance(0.5)
            assert await settling == []
        with broker.fault("first", drop=True):
            await client.publish(first, 2)
            assert await client.settled() == []
    assert got == [1]


async def test_services_that_have_no_subscribers_are_settled() -> None:
    async with natsrpc.Service("shop", version="1.0.0").test(codec="msgpack") as client:
        assert await client.settled() == []
        assert client.codec.name == "msgpack"


async def test_a_client_of_a_program_has_nothing_to_wait_for() -> None:
    async with natsrpc.connect(**Broker().options()) as client:
        with pytest.raises(ConfigError, match=r"service\.test\(\)"):
            await client.settled()


# durable work


class Desk:
    """A service that reads messages of a stream, as long as it is served."""

    def __init__(self) -> None:
        self.got: list[tuple[int, int]] = []
        self.go_on = asyncio.Event()
        self.service = natsrpc.Service("desk", version="1.0.0", lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, service: natsrpc.Service, client: Client) -> AsyncIterator[None]:
        js = JetStream(client.connection)
        stream = await js.create_stream(StreamConfig(name="JOBS", subjects=["jobs.*"]))
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="desk", ack_wait=30.0))
        async with consumer.messages() as messages:
            reading = asyncio.create_task(self._read(messages))
            yield
            reading.cancel()

    async def _read(self, messages: Messages) -> None:
        async for msg in messages:
            number, attempt = int(msg.data), msg.metadata.num_delivered
            self.got.append((number, attempt))
            await self.go_on.wait()
            await (msg.nak(delay=60.0) if number == 13 and attempt < 3 else msg.ack())


async def test_messages_of_streams_are_waited_for_until_their_ack() -> None:
    desk = Desk()
    async with desk.service.test() as client:
        js = JetStream(client.connection)
        for number in range(5):
            await js.publish("jobs.one", b"%d" % number)
        with pytest.raises(NatsTimeoutError, match=r"'desk' of stream 'JOBS' .* have no ack"):
            await client.settled(timeout=0.01)
        desk.go_on.set()
        await client.settled()
        assert desk.got == [(number, 1) for number in range(5)]


async def test_what_is_to_come_later_is_not_waited_for() -> None:
    clock, desk = Clock.install(), Desk()
    desk.go_on.set()
    async with desk.service.test() as client:
        await JetStream(client.connection).publish("jobs.one", b"13")
        for attempt in (1, 2, 3):
            await client.settled()
            assert desk.got == [(13, each) for each in range(1, attempt + 1)]
            await clock.advance(60.0)
        await clock.advance(1000.0)
        await client.settled()
        assert len(desk.got) == 3


async def test_what_a_test_itself_has_fetched_is_not_waited_for() -> None:
    desk = Desk()
    desk.go_on.set()
    async with desk.service.test() as client:
        stream = await JetStream(client.connection).stream("JOBS")
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="mine"))
        await JetStream(client.connection).publish("jobs.one", b"1")
        await consumer.next()
        await client.settled()
        assert desk.got == [(1, 1)]

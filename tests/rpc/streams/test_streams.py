"""Streams over a real server: in order, held by the reader, ended by either side or by death."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import BaseModel

from natsrpc import Context, Depends
from natsrpc.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    InvalidRequestError,
    NatsTimeoutError,
    NoRespondersError,
    RpcError,
    UnavailableError,
)
from natsrpc.rpc import Client, Server, Service, connect
from natsrpc.rpc.streams.window import WINDOW
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually, steady, until_done

pytestmark = pytest.mark.live


class Change(BaseModel):
    number: int


class OutOfChanges(RpcError, code=410):  # noqa: N818 — as users name theirs
    last: int


class Produced:
    """A service with streams, and what its handlers saw."""

    def __init__(self, prefix: str) -> None:
        self.sent = 0
        self.closed = asyncio.Event()
        self.received: list[int] = []
        self.service = Service("streams", version="1.0.0")
        group = self.service.group(prefix)
        group.handler("count")(self.count)
        group.handler("forever")(self.forever)
        group.handler("failing")(self.failing)
        group.handler("total")(self.total)
        group.handler("double")(self.double)
        group.handler("silent")(self.silent)

    async def count(self, to: int) -> AsyncIterator[Change]:
        for number in range(to):
            yield Change(number=number)

    async def forever(self) -> AsyncIterator[int]:
        try:
            while True:
                self.sent += 1
                yield self.sent
        finally:
            self.closed.set()

    async def failing(self, after: int) -> AsyncIterator[int]:
        for number in range(after):
            yield number
        raise OutOfChanges("no more", last=after)

    async def total(self, items: AsyncIterator[int]) -> int:
        async for item in items:
            self.received.append(item)
        return sum(self.received)

    async def double(self, items: AsyncIterator[int], factor: int) -> AsyncIterator[int]:
        async for item in items:
            yield item * factor

    async def silent(self) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.fixture
def produced(unique: str) -> Produced:
    return Produced(unique)


def nothing_left(client: Client, server: Server) -> None:
    assert not client.connection.link.requests.streams
    assert server.inflight == 0
    for endpoint in server.services[0].endpoints:
        assert not endpoint.taken
        assert endpoint.inflight == 0


@pytest.mark.parametrize("count", [0, 1, WINDOW, 10_000])
async def test_all_items_arrive_in_order(
    client: Client, other: Client, unique: str, produced: Produced, count: int
) -> None:
    async with other.serve(produced.service) as server:
        got = [change async for change in client.stream(produced.count, count)]
        assert got == [Change(number=n) for n in range(count)]
        nothing_left(client, server)


async def test_by_subject_and_in_another_codec(
    client: Client, unique: str, produced: Produced
) -> None:
    async with client.serve(produced.service):
        stream = client.stream(f"{unique}.count", 3, Change, codec="msgpack")
        assert [change.number async for change in stream] == [0, 1, 2]
        assert [raw async for raw in client.stream(f"{unique}.count", 1)] == [{"number": 0}]


async def test_a_slow_reader_holds_the_generator(
    client: Client, other: Client, produced: Produced
) -> None:
    async with other.serve(produced.service) as server:
        stream = client.stream(produced.forever)
        for _ in range(10):
            await anext(stream)
            await other.connection.flush()
            await client.connection.flush()
        assert await steady(lambda: produced.sent) <= 10 + WINDOW + 1
        await stream.aclose()
        await asyncio.wait_for(produced.closed.wait(), 1)
        await eventually(lambda: server.inflight == 0)
        nothing_left(client, server)


async def test_leaving_the_loop_closes_the_generator(
    client: Client, other: Client, produced: Produced
) -> None:
    async with other.serve(produced.service) as server:
        async for number in client.stream(produced.forever):
            if number == 500:
                break
        gc.collect()
        await asyncio.wait_for(produced.closed.wait(), 1)
        await eventually(lambda: server.inflight == 0)
        nothing_left(client, server)


async def test_cancelling_the_reader_closes_the_generator(
    client: Client, other: Client, produced: Produced
) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in client.stream(produced.silent):
            begun.set()

    async with other.serve(produced.service) as server:
        task = asyncio.ensure_future(read())
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        await asyncio.wait_for(produced.closed.wait(), 1)
        await eventually(lambda: server.inflight == 0)
        nothing_left(client, server)


async def test_an_error_in_mid_stream_comes_after_the_items_before_it(
    client: Client, other: Client, produced: Produced
) -> None:
    got: list[int] = []
    async with other.serve(produced.service) as server:
        with pytest.raises(OutOfChanges) as caught:
            async for number in client.stream(produced.failing, 300):
                got.append(number)  # noqa: PERF401 — kept when the stream fails
        assert got == list(range(300))
        assert caught.value.last == 300
        nothing_left(client, server)


async def test_a_request_that_is_refused_opens_no_stream(
    client: Client, unique: str, produced: Produced
) -> None:
    async with client.serve(produced.service) as server:
        with pytest.raises(InvalidRequestError):
            await anext(client.stream(f"{unique}.count", "many"))
        with pytest.raises(NoRespondersError):
            await anext(client.stream(f"{unique}.nobody"))
        nothing_left(client, server)


async def test_the_deadline_ends_a_stream(
    client: Client, other: Client, produced: Produced
) -> None:
    async with other.serve(produced.service) as server:
        with pytest.raises(DeadlineExceededError):
            async for _ in client.stream(produced.silent, timeout=0.1):
                pass
        await asyncio.wait_for(produced.closed.wait(), 1)
        nothing_left(client, server)


async def test_an_idle_stream_is_given_up(
    client: Client, other: Client, produced: Produced
) -> None:
    async with other.serve(produced.service):
        with pytest.raises(NatsTimeoutError, match="idle"):
            async for _ in client.stream(produced.silent, idle_timeout=0.05):
                pass
        await asyncio.wait_for(produced.closed.wait(), 1)


async def test_a_stream_of_requests(client: Client, other: Client, produced: Produced) -> None:
    async with other.serve(produced.service) as server:
        assert await client.upload(produced.total, numbers(1000)) == sum(range(1000))
        assert produced.received == list(range(1000))
        produced.received.clear()
        assert await client.upload(produced.total, numbers(0)) == 0
        nothing_left(client, server)


async def test_both_at_once(client: Client, other: Client, produced: Produced) -> None:
    async with other.serve(produced.service) as server:
        stream = client.stream(produced.double, 3, items=numbers(1000))
        assert [item async for item in stream] == [3 * n for n in range(1000)]
        nothing_left(client, server)


async def test_the_handler_holds_the_sender(client: Client, other: Client, unique: str) -> None:
    sent = 0

    async def items() -> AsyncIterator[int]:
        nonlocal sent
        while True:
            sent += 1
            yield sent

    service = Service("lazy", version="1.0.0")

    @service.handler(unique)
    async def first_two(numbers: AsyncIterator[int]) -> list[int]:
        got = [await anext(numbers), await anext(numbers)]
        await other.connection.flush()
        await client.connection.flush()
        await steady(lambda: sent)  # what was read made room, and that is taken
        return got

    async with other.serve(service) as server:
        assert await client.upload(first_two, items()) == [1, 2]
        assert sent <= 2 + WINDOW + 1
        nothing_left(client, server)


async def test_a_source_that_fails_cancels_the_handler(
    client: Client, other: Client, produced: Produced
) -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise OSError("disk gone")

    async with other.serve(produced.service) as server:
        with pytest.raises(OSError, match="disk gone"):
            await client.upload(produced.total, broken())
        await eventually(lambda: server.inflight == 0)
        nothing_left(client, server)


async def test_an_invalid_item_of_a_request_stream_is_refused(
    client: Client, unique: str, produced: Produced
) -> None:
    async def texts() -> AsyncIterator[str]:
        yield "not a number"

    async with client.serve(produced.service):
        with pytest.raises(InvalidRequestError):
            await client.upload(f"{unique}.total", texts())
        with pytest.raises(RpcError) as caught:
            await client.call(f"{unique}.total")
    assert caught.value.code == 400


async def test_many_streams_with_random_cancellation_leave_nothing(
    client: Client, other: Client, produced: Produced
) -> None:
    read = 0

    async def one(index: int) -> int:
        nonlocal read
        got = 0
        stream = client.stream(produced.double, 1, items=numbers(200))
        async for _ in stream:
            got += 1
            read += 1
            if index % 3 == 0 and got == index:
                break
        await stream.aclose()
        return got

    async with other.serve(produced.service) as server:
        tasks = [asyncio.ensure_future(one(index)) for index in range(64)]
        await eventually(lambda: read > 64)  # they are on their way
        for task in tasks[1::7]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await eventually(lambda: server.inflight == 0)
        nothing_left(client, server)


async def test_plain_requesters_get_the_items_too(
    client: Client, unique: str, produced: Produced
) -> None:
    async with client.serve(produced.service):
        replies = client.connection.request_many(
            f"{unique}.count", b"3", timeout=1, sentinel=lambda msg: not msg.data
        )
        got = [msg.data async for msg in replies]
    assert got == [b'{"number":%d}' % n for n in range(3)]


async def test_a_proxy_streams(client: Client, unique: str, produced: Produced) -> None:
    class Api(Protocol):
        def count(self, to: int) -> AsyncIterator[Change]: ...

        async def total(self, items: AsyncIterator[int]) -> int: ...

        def double(self, items: AsyncIterator[int], factor: int) -> AsyncIterator[int]: ...

    async with client.serve(produced.service):
        api = client.bind(Api, unique)
        assert [change.number async for change in api.count(3)] == [0, 1, 2]
        assert await api.total(numbers(4)) == 6
        assert [n async for n in api.double(numbers(3), factor=2)] == [0, 2, 4]


async def test_dependencies_live_as_long_as_the_stream(client: Client, unique: str) -> None:
    events: list[str] = []

    async def session() -> AsyncIterator[str]:
        events.append("open")
        yield "session"
        events.append("close")

    service = Service("deps", version="1.0.0")

    @service.handler(unique)
    async def watch(context: Context, session: str = Depends(session)) -> AsyncIterator[str]:
        for _ in range(2):
            events.append("item")
            yield f"{session} of {context.service.name}"

    async with client.serve(service):
        got = [item async for item in client.stream(unique, returns=str)]
    assert got == ["session of deps"] * 2
    assert events == ["open", "item", "item", "close"]


async def test_streams_end_with_the_connection(
    nats_server: NatsServer, other: Client, produced: Produced
) -> None:
    client = await connect(nats_server.url)
    async with other.serve(produced.service):
        stream = client.stream(produced.silent)
        assert await anext(stream) == 1
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(anext(stream), 2)
        await asyncio.wait_for(produced.closed.wait(), 2)


async def test_a_stopping_service_ends_its_streams(
    client: Client, other: Client, produced: Produced
) -> None:
    server = await other.serve(produced.service)
    stream = client.stream(produced.silent)
    assert await anext(stream) == 1
    await server.drain(0.05)
    with pytest.raises(UnavailableError):
        await anext(stream)


PROGRAM = """
    import asyncio
    from collections.abc import AsyncIterator
    import natsrpc

    service = natsrpc.Service("victim", version="1.0.0")

    @service.handler("{unique}.ticks")
    async def ticks() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        async with natsrpc.connect("{url}") as client, client.serve(service):
            async for _ in client.stream("{unique}.silent"):
                print("reading", flush=True)

    asyncio.run(main())
"""


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
async def test_kill_9_of_either_side_is_noticed_within_a_second_or_so(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str, produced: Produced
) -> None:
    program = tmp_path / "victim.py"
    program.write_text(textwrap.dedent(PROGRAM).format(unique=unique, url=nats_server.url))
    async with client.serve(produced.service):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={"PYTHONPATH": "."},
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"reading\n"
        stream: Any = client.stream(f"{unique}.ticks")
        assert await anext(stream) == 1
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        await asyncio.wait_for(produced.closed.wait(), 2)
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(anext(stream), 2)


async def test_across_a_cluster_a_reader_that_leaves_or_dies_is_noticed(
    nats_cluster: Cluster, unique: str
) -> None:
    near, far = (server.url for server in nats_cluster.servers[:2])
    produced = Produced(unique)
    async with connect(far) as worker, worker.serve(produced.service) as server:
        reader = await connect(near)

        async def last_of_all() -> int:
            return [c.number async for c in reader.stream(produced.count, 500)][-1]

        # the interest may have to reach the other node yet
        assert await until_done(last_of_all, NoRespondersError) == 499
        stream = reader.stream(produced.forever)
        assert await anext(stream) == 1
        await stream.aclose()
        await asyncio.wait_for(produced.closed.wait(), 1)
        produced.closed.clear()
        stream = reader.stream(produced.silent)
        assert await anext(stream) == 1
        await reader.close()
        await asyncio.wait_for(produced.closed.wait(), 1.5)
        await eventually(lambda: server.inflight == 0)
        with pytest.raises(ConnectionClosedError):
            await anext(stream)

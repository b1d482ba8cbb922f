"""Draining: what was delivered is answered, whatever else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from natsrpc import Depends
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    NatsError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    UnavailableError,
)
from natsrpc.rpc import Client, Service, connect
from natsrpc.rpc.process import Stopping, until_stopped
from natsrpc.testing import NatsServer
from tests.core.harness import Proxy, ScriptedServer, eventually, turns, until_done

pytestmark = pytest.mark.live


def slow_service(unique: str, seconds: float = 0.1, **limits: int) -> Service:
    service = Service("slow", version="1.0.0", **limits)  # type: ignore[arg-type]  # limits only

    @service.handler(unique)
    async def work(n: int) -> int:
        await asyncio.sleep(seconds)  # why: a handler that is slow, so that drains meet it
        return n

    return service


@pytest.mark.parametrize(("requests", "limit"), [(5, 256), (500, 256), (40, 1)])
async def test_no_delivered_request_is_lost(
    client: Client, other: Client, unique: str, requests: int, limit: int
) -> None:
    seconds = 0.1 if limit > 1 else 0.005
    server = await other.serve(slow_service(unique, seconds, max_concurrency=limit))
    calls = [asyncio.ensure_future(client.call(unique, n)) for n in range(requests)]
    await asyncio.sleep(0)  # let the calls be written
    await client.connection.flush()
    await server.drain()
    assert server.inflight == 0
    await client.connection.flush()
    assert [call.result() for call in calls] == list(range(requests))
    with pytest.raises(NoRespondersError):
        await client.call(unique, 0)


async def test_draining_under_fire_loses_nothing(
    client: Client, other: Client, nats_server: NatsServer, unique: str
) -> None:
    """Callers never stop; one worker drains while another takes over."""
    async with connect(nats_server.url) as third:
        first = await other.serve(slow_service(unique, 0.005))
        outcomes: list[object] = []
        stop = False

        async def caller() -> None:
            while not stop:
                try:
                    outcomes.append(await client.call(unique, 1))
                except NatsError as error:
                    outcomes.append(error)

        callers = [asyncio.ensure_future(caller()) for _ in range(20)]
        await eventually(lambda: len(outcomes) > 40)
        second = await third.serve(slow_service(unique, 0.005))
        await eventually(lambda: second.inflight)
        await first.drain()
        before = len(outcomes)
        await eventually(lambda: len(outcomes) > before + 100)
        stop = True
        await asyncio.gather(*callers)
        await second.drain()
    assert set(outcomes) == {1}
    assert len(outcomes) > 100


async def test_what_was_on_its_way_when_the_drain_began_is_answered(
    client: Client, nats_server: NatsServer, unique: str
) -> None:
    """Requests the server sent before it heard of the withdrawal are read after it was written."""
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as worker:
        server = await worker.serve(slow_service(unique, 0.01))
        proxy.stall(up=False)
        calls = [asyncio.ensure_future(client.call(unique, n)) for n in range(50)]
        await asyncio.sleep(0)  # let the calls be written
        await client.connection.flush()
        before = len(proxy.links[0].up)
        draining = asyncio.ensure_future(server.drain())
        await eventually(lambda: b"UNSUB" in proxy.links[0].up[before:])
        assert server.inflight == 0
        proxy.resume()
        await draining
        assert await asyncio.gather(*calls) == list(range(50))


async def test_draining_the_client_drains_its_services(
    client: Client, nats_server: NatsServer, unique: str
) -> None:
    async with connect(nats_server.url) as worker:
        await worker.serve(slow_service(unique))
        call = asyncio.ensure_future(client.call(unique, 3))
        await asyncio.sleep(0)  # let the calls be written
        await client.connection.flush()
        await worker.drain()
        assert worker.connection.is_closed
    assert await call == 3


async def test_a_handler_may_call_out_while_draining(
    client: Client, other: Client, unique: str
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()
    service = Service("outgoing", version="1.0.0")

    @service.handler(f"{unique}.front")
    async def front() -> int:
        begun.set()
        await release.wait()
        return await other.call(f"{unique}.back", returns=int)

    back = Service("back", version="1.0.0")

    @back.handler(f"{unique}.back")
    async def answer() -> int:
        return 42

    async with client.serve(back):
        server = await other.serve(service)
        call = asyncio.ensure_future(client.call(f"{unique}.front"))
        await asyncio.wait_for(begun.wait(), 5)
        draining = asyncio.ensure_future(server.drain())
        await turns(20)  # its UNSUB is written
        await other.connection.flush()
        with pytest.raises(NoRespondersError):
            await client.call(f"{unique}.front")
        release.set()
        await draining
        assert await call == 42


async def test_draining_twice_is_one_drain(client: Client, unique: str) -> None:
    server = await client.serve(slow_service(unique))
    await asyncio.gather(server.drain(), server.drain())
    await server.drain()


async def test_lifespan_gives_state_and_ends_after_the_last_reply(
    client: Client, other: Client, unique: str
) -> None:
    from natsrpc import Context  # noqa: PLC0415 — with the package's name, as users write it

    events: list[str] = []
    begun, release = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(service: Service) -> AsyncIterator[dict[str, str]]:
        events.append(f"open {service.name}")
        yield {"db": "connected"}
        events.append("close")

    service = Service("life", version="1.0.0", lifespan=lifespan)

    @service.handler(unique)
    async def handle(context: Context) -> str:
        begun.set()
        await release.wait()
        events.append("handled")
        return str(context.state["db"])

    server = await other.serve(service)
    call = asyncio.ensure_future(client.call(unique))
    await asyncio.wait_for(begun.wait(), 5)
    draining = asyncio.ensure_future(server.drain())
    await other.connection.flush()
    assert events == ["open life"]
    release.set()
    await draining
    assert await call == "connected"
    assert events == ["open life", "handled", "close"]


async def test_a_failing_lifespan_serves_nothing(client: Client, unique: str) -> None:
    @asynccontextmanager
    async def lifespan(_: Service) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    service = Service("broken", version="1.0.0", lifespan=lifespan)
    other = slow_service(unique)
    with pytest.raises(OSError, match="no database"):
        await client.serve(other, service)
    with pytest.raises(NoRespondersError):
        await client.call(unique, 1)


async def test_a_closed_connection_ends_the_services_lifespan(
    nats_server: NatsServer, unique: str
) -> None:
    ended = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Service) -> AsyncIterator[None]:
        yield
        ended.set()

    service = Service("closing", version="1.0.0", lifespan=lifespan)

    @service.handler(unique)
    async def handle() -> None: ...

    async with connect(nats_server.url) as worker:
        await worker.serve(service)
    await asyncio.wait_for(ended.wait(), 2)
    with pytest.raises(ConnectionClosedError):
        await worker.call(unique)


async def test_nothing_to_serve_is_refused(client: Client) -> None:
    with pytest.raises(ConfigError, match="nothing to serve"):
        await client.serve()
    with pytest.raises(ConfigError, match="not a Service"):
        await client.serve("service")  # type: ignore[arg-type]  # what is refused


async def test_services_survive_a_reconnect(fresh_server: NatsServer, unique: str) -> None:
    async with (
        connect(fresh_server.url, reconnect_wait=0.05) as worker,
        connect(fresh_server.url, reconnect_wait=0.05) as client,
        worker.serve(slow_service(unique, 0.0)),
    ):
        assert await client.call(unique, 1) == 1
        fresh_server.kill()
        fresh_server.restart()
        answer = await until_done(
            lambda: client.call(unique, 2, timeout=0.2), NoRespondersError, NatsTimeoutError
        )
        assert answer == 2


async def test_leaving_the_client_answers_what_is_being_served(
    client: Client, nats_server: NatsServer, unique: str
) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Service) -> AsyncIterator[None]:
        yield
        ended.append("lifespan")

    service = Service("left", version="1.0.0", lifespan=lifespan)

    @service.handler(unique)
    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("handler")

    async with connect(nats_server.url) as worker:
        await worker.serve(service)
        call = asyncio.ensure_future(client.call(unique))
        await asyncio.wait_for(begun.wait(), 5)
    assert ended == ["handler", "lifespan"]
    with pytest.raises(UnavailableError):
        await call


RESTRICTED = """
authorization {
    users = [
        {user: worker, password: w, permissions: {
            subscribe: ["svc.allowed", "_INBOX.>"], publish: ">"}}
        {user: caller, password: c}
    ]
}
"""


async def test_a_denied_subject_is_told_and_cancellation_is_not_needed() -> None:
    def service(subject: str) -> Service:
        made = Service("restricted", version="1.0.0")

        @made.handler(subject)
        async def answer() -> str:
            return "here"

        return made

    errors: list[Exception] = []
    async with (
        NatsServer(RESTRICTED) as server,
        connect(
            server.url, user="worker", password="w", on_error=lambda _, __, e: errors.append(e)
        ) as worker,
        connect(server.url, user="caller", password="c") as caller,
    ):
        async with worker.serve(service("svc.allowed")):
            assert await caller.call("svc.allowed") == "here"
        with pytest.raises(PermissionsError, match=r"svc\.denied"):
            await worker.serve(service("svc.denied"))
    assert all(isinstance(error, PermissionsError) for error in errors)


async def test_an_endpoint_added_while_running_is_served(client: Client, unique: str) -> None:
    service = slow_service(f"{unique}.first", 0.0)
    server = await client.serve(service)

    @service.handler(f"{unique}.second")
    async def second(n: int) -> int:
        return 2 * n

    await client.connection.flush()
    assert await client.call(second, 4) == 8
    running = server.services[0]
    assert [endpoint.contract.name for endpoint in running.endpoints][1:] == ["second"]
    assert len(running.contract.endpoints) == 2

    async def pool() -> int:
        return 1

    async def needs_pool(n: int = Depends(pool, scope="app")) -> int:
        return n

    with pytest.raises(ConfigError, match="before the service starts"):
        service.handler(f"{unique}.third")(needs_pool)
    await server.drain()
    service.handler(f"{unique}.fourth")(second)
    with pytest.raises(NoRespondersError):
        await client.call(f"{unique}.fourth", 1)


async def test_the_end_of_a_client_waits_for_a_drain_that_a_handler_began(
    nats_server: NatsServer, unique: str
) -> None:
    service = Service("ending", version="1.0.0")
    drains: list[asyncio.Task[None]] = []
    begun = asyncio.Event()

    async with connect(nats_server.url) as caller:
        async with connect(nats_server.url) as client:

            @service.handler(f"{unique}.slow")
            async def slow() -> str:
                begun.set()
                await asyncio.sleep(0.1)  # why: it still runs when the client's block ends
                return "answered"

            @service.handler(f"{unique}.stop")
            async def stop() -> None:
                drains.append(asyncio.create_task(client.drain()))

            await client.serve(service)
            running = asyncio.create_task(caller.call(f"{unique}.slow", returns=str))
            await begun.wait()
            await caller.call(f"{unique}.stop", returns=None)
        assert await running == "answered"
        await drains[0]


async def test_what_comes_after_an_end_at_once_is_refused_too() -> None:
    """What the server sends until it has heard that nothing more is taken: a request that it had
    sent to nobody else would be lost, and its caller wait until it is late."""
    service, ran = Service("ending", version="1.0.0"), list[int]()

    @service.handler("ending.wait", max_concurrency=1)
    async def wait(n: int) -> None:
        ran.append(n)
        await asyncio.Event().wait()

    @service.handler("ending.items")
    async def items(n: int) -> AsyncIterator[int]:
        ran.append(n)
        yield n

    @service.subscriber("ending.told")
    async def told(n: int) -> None:
        ran.append(n)

    stopping = Stopping()
    async with ScriptedServer() as scripted, connect(scripted.url) as client:
        server, peer = await client.serve(service), scripted.peers[0]
        sids = {frame.subject: frame.sid for frame in peer.frames if frame.op == b"SUB"}
        told_of = server.services[0].subscribers[0].answers
        peer.msg(b"ending.wait", sids[b"ending.wait"], b"1", reply=b"before")
        await eventually(lambda: ran == [1])
        peer.auto_pong, answered = False, peer.ops().count(b"PING")
        ending = asyncio.ensure_future(until_stopped(stopping, client, server))
        stopping.drain.set()
        stopping.force.set()
        await peer.expect(b"UNSUB")
        peer.msg(b"ending.wait", sids[b"ending.wait"], b"2", reply=b"behind")
        for subject, data, reply, frame in [
            (b"ending.items", b"3", b"stream", b"open 9 900"),
            (b"ending.wait._NATSRPC.large", b"", b"large", b"large 9"),
        ]:
            head = b"NATS/1.0\r\nNatsrpc-Frame: %b\r\n\r\n" % frame
            peer.msg(subject, sids[subject], data, reply=reply, headers=head)
        peer.msg(b"ending.told", sids[b"ending.told"], b"4")
        peer.auto_pong = True
        for _ in range(peer.ops().count(b"PING") - answered):
            peer.pong()
        assert await ending == 1
        assert ran == [1]
        assert not stopping.is_stuck
        answers = {f.subject: f.headers for f in peer.frames if f.op == b"HPUB"}
        assert answers.keys() == {b"before", b"behind", b"stream", b"large"}
        assert all(b"Nats-Service-Error-Code: 503" in each for each in answers.values()), answers
        assert told_of.num_dropped == 1

"""Peers and networks at their worst: every outcome is a typed error or success, nothing leaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import FlushInterruptedError, NatsError
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import Proxy, ScriptedServer, elapse, eventually, no_leaks, turns, warped

INFO = b'INFO {"server_id":"N","version":"2.15.1","proto":1,"headers":true,"max_payload":1000} \r\n'
FRAMES = [
    b"PONG\r\n",
    b"PING\r\n",
    b"+OK\r\n",
    b"-ERR 'Authorization Violation'\r\n",
    b"-ERR 'Something New'\r\n",
    b"MSG a 1 2\r\nhi\r\n",
    b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    b"\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    INFO.replace(b"1000", b'"x"'),
    INFO,
]


@contextlib.asynccontextmanager
async def nothing_unhandled() -> AsyncIterator[None]:
    """No exception reaches the event loop's handler, no task or socket is left."""
    seen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    try:
        async with no_leaks():
            yield
    finally:
        loop.set_exception_handler(None)
    assert seen == []


def script(dice: random.Random) -> bytes:
    """What a confused server may send: often a right beginning, then anything."""
    if dice.random() < 0.3:
        return INFO + b"PONG\r\n"
    stream = bytearray(INFO + b"PONG\r\n" if dice.random() < 0.7 else b"")
    for _ in range(dice.randrange(6)):
        stream += dice.choice(FRAMES)
    for _ in range(dice.choice([0, 0, 1, 3])):
        if stream:
            at = dice.randrange(len(stream))
            stream[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(stream)


@warped
async def test_a_confused_server_gives_a_connection_or_a_typed_error() -> None:
    dice = random.Random(11)
    outcomes = {"connected": 0, "refused": 0}
    async with nothing_unhandled():
        for _ in range(250):
            stream = script(dice)
            cuts = sorted(dice.randrange(len(stream) + 1) for _ in range(dice.randrange(4)))
            end = dice.choice(["close", "reset", "stay", "stay"])
            async with ScriptedServer(handshake=False, auto_pong=False) as server:
                opening = asyncio.ensure_future(open_connection(server.url))
                peer = await server.accept()
                await peer.send_split(stream, cuts)
                if end != "stay":
                    getattr(peer, end)()
                try:
                    nc = await opening
                except NatsError:
                    outcomes["refused"] += 1
                    continue
                outcomes["connected"] += 1
                await turns(5)
                await elapse(3)
                await nc.close()
    assert min(outcomes.values()) > 10


async def open_connection(url: str) -> Connection:
    return await connect(url, allow_reconnect=False)


@warped
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
async def test_an_end_at_any_byte_of_the_handshake_is_a_typed_error(how: str) -> None:
    whole = INFO + b"PONG\r\n"
    async with nothing_unhandled():
        for size in range(0, len(whole) - 1, 3):
            async with ScriptedServer(handshake=False, auto_pong=False) as server:
                opening = asyncio.ensure_future(open_connection(server.url))
                peer = await server.accept()
                peer.send(whole[:size])
                await turns(size % 5)
                getattr(peer, how)()
                with pytest.raises(NatsError):
                    await opening


@warped
async def test_silence_at_any_byte_of_the_handshake_ends_in_time() -> None:
    whole = INFO + b"PONG\r\n"
    loop = asyncio.get_running_loop()
    async with nothing_unhandled():
        for size in range(0, len(whole) - 1, 7):
            async with ScriptedServer(handshake=False, auto_pong=False) as server:
                start = loop.time()
                opening = asyncio.ensure_future(open_connection(server.url))
                peer = await server.accept()
                peer.send(whole[:size])
                with pytest.raises(NatsError, match="did not answer"):
                    await opening
                assert 1.9 < loop.time() - start < 2.3


async def test_a_connect_cancelled_at_any_point_leaves_nothing() -> None:
    async with nothing_unhandled(), ScriptedServer() as server:
        connected_after = 0
        for steps in range(40):
            opening = asyncio.ensure_future(open_connection(server.url))
            await turns(steps)
            if opening.done():
                connected_after += 1
                await opening.result().close()
                continue
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        assert 0 < connected_after < 40
        await eventually(lambda: all(peer.closed.is_set() for peer in server.peers))


async def test_10_000_cancellations_at_random_points_leave_nothing() -> None:
    """Publishes, requests, flushes, reads and subscriptions, cancelled wherever they are."""
    dice = random.Random(13)
    outcomes = {"ended": 0, "cancelled": 0, "failed": 0}
    async with nothing_unhandled(), connected() as (nc, peer, server):
        server.listeners.append(lambda answering, frame: answer(answering, frame, dice))
        for _ in range(180):
            tasks = []
            for _ in range(60):
                work = dice.choice([one_request, one_read, one_flush, one_iteration, one_batch])
                tasks.append(asyncio.create_task(work(nc, dice)))
            await turns(dice.randrange(6))
            dice.shuffle(tasks)
            for task in tasks:
                task.cancel()
                await turns(dice.randrange(2))
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                match result:
                    case asyncio.CancelledError():
                        outcomes["cancelled"] += 1
                    case NatsError():
                        outcomes["failed"] += 1
                    case BaseException():
                        raise result
                    case _:
                        outcomes["ended"] += 1
        assert min(outcomes.values()) > 50
        assert sum(outcomes.values()) > 10_000
        await nc.flush()
        assert not nc.link.requests.pending
        assert nc.subscriptions == []
        assert len(nc.link.sinks) == 1  # the inbox of all requests
        sids = {frame.sid for frame in peer.frames if frame.op == b"SUB"}
        gone = {frame.sid for frame in peer.frames if frame.op == b"UNSUB" and len(frame.args) == 1}
        assert sids - gone == set(nc.link.sinks)


def answer(peer: Any, frame: Any, dice: random.Random) -> None:
    if frame.op == b"PUB" and frame.reply and dice.random() < 0.5:
        mux = next(f for f in peer.frames if f.op == b"SUB" and f.subject.endswith(b".*"))
        peer.msg(frame.reply, mux.sid, b"yes")
    elif frame.op == b"SUB" and frame.subject.startswith(b"read"):
        for number in range(dice.randrange(4)):
            peer.msg(frame.subject, frame.sid, b"%d" % number)


async def one_request(nc: Connection, dice: random.Random) -> object:
    return await nc.request("ask", b"?", timeout=dice.choice([0.001, 5, None]))


async def one_flush(nc: Connection, dice: random.Random) -> object:
    await nc.publish("p", bytes(dice.randrange(3000)))
    await nc.flush(dice.choice([0.001, 5, None]))
    return None


async def one_read(nc: Connection, dice: random.Random) -> object:
    async with await nc.subscribe(f"read.{dice.randrange(9)}") as sub:
        return await sub.next_msg(dice.choice([0.001, 5, None]))


async def one_iteration(nc: Connection, dice: random.Random) -> object:
    got: list[Msg] = []
    async with await nc.subscribe("read.all", cb=None if dice.random() < 0.5 else got.append) as s:
        if s.kind:
            async for msg in s:
                got.append(msg)
                await turns(dice.randrange(2))
        await asyncio.Event().wait()
    return got


async def one_batch(nc: Connection, dice: random.Random) -> object:
    return [reply async for reply in nc.request_many("ask", timeout=5, max_msgs=2)]


@pytest.mark.live
async def test_requests_through_a_failing_network_end_in_a_value_or_a_typed_error(
    nats_server: NatsServer,
) -> None:
    """A real server behind a proxy that cuts, stalls and splits, at random."""
    dice = random.Random(17)
    ends = {"value": 0, "error": 0}
    handled: list[bytes] = []
    quick: dict[str, Any] = {"reconnect_wait": 0.005, "reconnect_jitter": 0.0}
    async with (
        nothing_unhandled(),
        Proxy(nats_server.port) as proxy,
        connect(nats_server.url) as service,
        connect(proxy.url, max_reconnect_attempts=-1, **quick) as nc,
    ):

        def serve(msg: Msg) -> None:
            handled.append(msg.data)
            service.link.send(msg.raw_reply, msg.data)

        async def ask(number: int) -> None:
            try:
                reply = await nc.request("adversity", b"%d" % number, timeout=0.3)
            except NatsError:
                ends["error"] += 1
            else:
                assert reply.data == b"%d" % number
                ends["value"] += 1

        await service.subscribe("adversity", cb=serve)
        await service.flush()
        troubles = asyncio.create_task(trouble(proxy, dice))
        for start in range(0, 1000, 20):
            await asyncio.gather(*(ask(number) for number in range(start, start + 20)))
            await asyncio.sleep(0.002)  # why: troubles happen in between, too
        troubles.cancel()
        with pytest.raises(asyncio.CancelledError):
            await troubles
        proxy.piece = None
        proxy.resume()
        if not proxy.is_listening:
            await proxy.listen()
        while await is_cut_off(nc):  # by a reset that was under way
            pass
        assert (await nc.request("adversity", b"last")).data == b"last"
        assert sum(ends.values()) == 1000
        assert min(ends.values()) > 20
        assert len(handled) == len(set(handled)), "a request was delivered twice"
        assert not nc.link.requests.pending


async def is_cut_off(nc: Connection) -> bool:
    try:
        await nc.flush()
    except FlushInterruptedError:
        return True
    return False


async def trouble(proxy: Proxy, dice: random.Random) -> None:
    while True:
        await asyncio.sleep(0.02 * dice.random())  # why: trouble comes at any point
        match dice.randrange(5):
            case 0:
                proxy.cut(reset=dice.random() < 0.5)
            case 1:
                proxy.stall(up=dice.random() < 0.5)
                await asyncio.sleep(0.02 * dice.random())  # why: a link that stands for a while
                proxy.resume()
            case 2:
                proxy.piece = dice.choice([None, 1, 7, 100])
            case 3:
                proxy.refuse()
                proxy.cut()
                await asyncio.sleep(0.01)  # why: a server that is away for a while
                await proxy.listen()
            case _:
                proxy.piece = None

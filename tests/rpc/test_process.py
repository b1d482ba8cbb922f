"""`natsrpc.run` in a process of its own: ready, drained by a signal, forced by a second one."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any, cast

import pytest

from natsrpc.errors import ConfigError, NoRespondersError, RpcError
from natsrpc.rpc import Client, Service, connect, run, serve_until
from natsrpc.rpc.process import Stopping
from natsrpc.testing import Broker, NatsServer
from tests.core.harness import until_raised

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

PROGRAM = """
    import asyncio
    import natsrpc

    service = natsrpc.Service("worker", version="1.0.0")

    @service.handler("{subject}")
    async def work(seconds: float) -> str:
        await asyncio.sleep(seconds)  # why: a handler as slow as its caller says
        return "done"

    @service.subscriber("{subject}.events")
    async def handle(seconds: float, client: natsrpc.Client) -> None:
        await asyncio.sleep(seconds)  # why: a handler as slow as its publisher says
        await client.publish("{subject}.done", seconds)

    natsrpc.run(
        service, servers="{url}", drain_timeout={drain_timeout}, reconnect_wait=0.01,
        max_reconnect_attempts=2, on_ready=lambda: print("ready", flush=True),
    )
"""


class Worker:
    """A process that serves one slow handler."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, folder: Path, url: str, subject: str, drain_timeout: float = 10) -> Worker:
        program = folder / "worker.py"
        text = textwrap.dedent(PROGRAM)
        program.write_text(text.format(subject=subject, url=url, drain_timeout=drain_timeout))
        return await cls.run(program)

    @classmethod
    async def run(cls, program: Path) -> Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent.parent,
            env={"PYTHONPATH": "."},
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line == b"ready\n"
        return cls(process)

    async def end(self) -> tuple[int, str]:
        """The exit code, and what was written to stderr."""
        _, err = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@pytest.mark.parametrize("requests", [5, 500])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(
    client: Client,
    nats_server: NatsServer,
    tmp_path: Path,
    unique: str,
    number: signal.Signals,
    requests: int,
) -> None:
    worker = await Worker.start(tmp_path, nats_server.url, unique)
    calls = [asyncio.ensure_future(client.call(unique, 0.3)) for _ in range(requests)]
    await asyncio.sleep(0)  # let the calls be written
    await client.connection.flush()
    worker.process.send_signal(number)
    assert await asyncio.gather(*calls) == ["done"] * requests
    assert await worker.end() == (0, "")
    with pytest.raises(NoRespondersError):
        await client.call(unique, 0.0)


async def test_a_signal_finishes_the_events_that_were_taken(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str
) -> None:
    done = await client.connection.subscribe(f"{unique}.done")
    worker = await Worker.start(tmp_path, nats_server.url, unique)
    for _ in range(1000):  # four times as many as run at once
        await client.publish(f"{unique}.events", 0.05)
    await client.connection.flush()
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.end() == (0, "")
    await client.connection.flush()
    assert done.pending_msgs == 1000


async def test_events_that_a_drain_has_no_time_for_are_told(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str
) -> None:
    worker = await Worker.start(tmp_path, nats_server.url, unique, drain_timeout=0.1)
    for _ in range(300):
        await client.publish(f"{unique}.events", 30.0)
    await client.connection.flush()
    worker.process.send_signal(signal.SIGTERM)
    code, told = await worker.end()
    assert code == 0
    assert "handle" in told
    assert "service is stopping" in told
    assert "did not run" in told


async def test_a_second_signal_forces(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str
) -> None:
    worker = await Worker.start(tmp_path, nats_server.url, unique)
    call = asyncio.ensure_future(client.call(unique, 30, timeout=60))
    await asyncio.sleep(0)  # let the calls be written
    assert await client.call(unique, 0.0) == "done"  # so the first is running
    worker.process.send_signal(signal.SIGTERM)
    await until_raised(NoRespondersError, lambda: client.call(unique, 0.0))
    worker.process.send_signal(signal.SIGTERM)
    with pytest.raises(RpcError) as caught:
        await call
    assert caught.value.code == 503
    code, err = await worker.end()
    assert code == 1
    assert "Traceback" not in err


async def test_the_drain_timeout_cuts_short(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str
) -> None:
    worker = await Worker.start(tmp_path, nats_server.url, unique, drain_timeout=0.1)
    call = asyncio.ensure_future(client.call(unique, 30, timeout=60))
    await asyncio.sleep(0)  # let the calls be written
    assert await client.call(unique, 0.0) == "done"  # so the first is running
    worker.process.send_signal(signal.SIGTERM)
    with pytest.raises(RpcError) as caught:
        await call
    assert caught.value.code == 503
    assert (await worker.end())[0] == 0


async def test_a_connection_lost_for_good_ends_the_process(
    fresh_server: NatsServer, tmp_path: Path, unique: str
) -> None:
    worker = await Worker.start(tmp_path, fresh_server.url, unique)
    fresh_server.kill()
    code, err = await worker.end()
    assert code == 1
    assert "connection is closed" in err


async def test_a_process_passes_on_the_clock_of_its_deadlines() -> None:
    service = Service("worker", version="1.0.0")
    sun = cast(Any, "sun")
    with pytest.raises(ConfigError, match="deadline_clock is 'sun'"):
        await serve_until(Stopping(), service, servers="nats://127.0.0.1:1", deadline_clock=sun)
    with pytest.raises(ConfigError, match="deadline_clock is 'sun'"):
        await asyncio.to_thread(run, service, servers="nats://127.0.0.1:1", deadline_clock=sun)


async def test_a_process_that_serves_and_calls_has_one_connection() -> None:
    """As `natsrpc.run` and `natsrpc run` serve, counted by the broker."""
    service, broker, stopping = Service("shop", version="1.0.0"), Broker(), Stopping()
    ready = asyncio.Event()

    @service.handler("outer")
    async def outer(n: int, client: Client) -> int:
        return await client.call(inner, n)

    @service.handler("inner")
    async def inner(n: int) -> int:
        return n

    serving = asyncio.ensure_future(
        serve_until(stopping, service, on_ready=ready.set, **broker.options())
    )
    await ready.wait()
    async with connect(**broker.options()) as client:
        assert await client.call(outer, 3) == 3
        assert broker.connections == 2  # the process that serves, and this caller
    stopping.drain.set()
    assert await serving == 0


STUCK = """
    import asyncio, contextlib, time
    import natsrpc

    @contextlib.asynccontextmanager
    async def lifespan(service):
        yield
        while "{kind}" == "lifespan":
            await asyncio.sleep(60)  # why: what is never left

    def begin() -> None:
        print("at work", flush=True)

    service = natsrpc.Service("worker", version="1.0.0", lifespan=lifespan)

    @service.handler("{subject}")
    {handler}

    natsrpc.run(
        service, servers="{url}", drain_timeout=0.1, on_ready=lambda: print("ready", flush=True)
    )
    print("returned", flush=True)
"""

HANDLERS = {
    "thread": "def work() -> None: begin(); time.sleep(600)  # why: a thread that is stuck",
    "loop": "async def work() -> None: begin(); time.sleep(600)  # why: a loop that stands still",
    "stubborn": """
    async def work() -> None:
        begin()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
""",
    "lifespan": "async def work() -> None: begin(); await asyncio.Event().wait()",
}


@pytest.mark.parametrize("kind", HANDLERS)
async def test_the_end_comes_whatever_is_stuck(
    client: Client, nats_server: NatsServer, tmp_path: Path, unique: str, kind: str
) -> None:
    handler = textwrap.indent(textwrap.dedent(HANDLERS[kind]), " " * 4).strip()
    program = textwrap.dedent(STUCK).format(
        kind=kind, subject=unique, url=nats_server.url, handler="HANDLER"
    )
    path = tmp_path / "worker.py"
    path.write_text(program.replace("HANDLER", textwrap.dedent(handler)))
    worker = await Worker.run(path)
    call = asyncio.ensure_future(client.call(unique, timeout=60))
    assert worker.process.stdout is not None
    line = await asyncio.wait_for(worker.process.stdout.readline(), 20)
    assert line == b"at work\n"
    worker.process.send_signal(signal.SIGTERM)
    code, err = await worker.end()
    assert code == 1
    if kind in ("loop", "lifespan"):  # where it stood
        assert f'"{path}", line' in err
    else:
        assert "Timeout (" not in err  # no need for the watchdog
    call.cancel()


AWAY = """
    import contextlib, sys
    import natsrpc

    @contextlib.asynccontextmanager
    async def lifespan(service, client):
        await client.call("nobody.is.there")
        yield

    service = natsrpc.Service("worker", version="1.0.0", lifespan=lifespan)
    natsrpc.run(service, servers=sys.argv[1], connect_timeout=5.0{more})
"""


async def ended(tmp_path: Path, *arguments: str, more: str = "") -> tuple[int | None, str]:
    program = tmp_path / "away.py"
    program.write_text(textwrap.dedent(AWAY).format(more=more))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
        env={"PYTHONPATH": "."},
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, err.decode()


async def test_a_server_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    code, err = await ended(tmp_path, "nats://127.0.0.1:1")
    assert code == 1
    assert err.splitlines() == [
        "natsrpc: no servers available: tried nats://127.0.0.1:1: Connection refused"
    ]


async def test_a_lifespan_that_fails_shows_its_own_frames(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    code, err = await ended(tmp_path, nats_server.url)
    assert code == 1
    assert 'await client.call("nobody.is.there")' in err
    assert err.count("natsrpc/rpc/") == 1  # the frame of `run` itself
    assert err.splitlines()[-1].startswith("natsrpc.errors.nats.NoRespondersError: ")


async def test_an_option_that_is_refused_shows_the_call_of_run(tmp_path: Path) -> None:
    code, err = await ended(tmp_path, "nats://127.0.0.1:1", more=", inbox_prefix='a b'")
    assert code == 1
    assert "natsrpc.run(service" in err
    assert err.count("natsrpc/rpc/") == 1
    assert "'a b'" in err.splitlines()[-1]

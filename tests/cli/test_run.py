"""`natsrpc run`: a pool of processes that drains, heals and reloads."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import ScriptedServer, eventually, until_raised

from .processes import Command, all_gone

pytestmark = pytest.mark.live

SERVICE = """
import asyncio, os
import natsrpc

service = natsrpc.Service("pool", version="1.0.0", max_concurrency=1000)

@service.handler("pool.pid", name="pid")
async def pid(seconds: float) -> int:
    await asyncio.sleep(seconds)  # why: a handler as slow as its caller says
    return os.getpid()

@service.handler("pool.version", name="version")
async def version() -> int:
    return 1

@service.handler("pool.loop", name="loop")
async def loop() -> str:
    return type(asyncio.get_running_loop()).__module__
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "pool_service.py"
    path.write_text(SERVICE)
    return path


def start(target: Path, server: NatsServer, *arguments: str) -> Command:
    return Command("run", str(target), "--server", server.url, *arguments, cwd=target.parent)


def pids_of(line: str) -> list[int]:
    found = re.search(r"\(([\d, ]+)\)", line)
    assert found is not None, line
    return [int(pid) for pid in found[1].split(",")]


async def in_thread(command: Command, text: str) -> str:
    return await asyncio.to_thread(command.wait_for, text)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("requests", [5, 500])
async def test_pool_answers_all_it_has_and_drains_on_sigterm(
    target: Path, fresh_server: NatsServer, workers: int, requests: int
) -> None:
    with start(target, fresh_server, "--workers", str(workers)) as command:
        pids = pids_of(await in_thread(command, f"is served by {workers} worker"))
        async with natsrpc.connect(fresh_server.url) as client:
            calls = [
                asyncio.create_task(client.call("pool.pid", 0.5, int, timeout=10.0))
                for _ in range(requests)
            ]
            seen = await client.call("pool.pid", 0.0, int)
            assert seen in pids
            await client.connection.flush()  # all calls are with the server, however busy it is
            command.signal(signal.SIGTERM)
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [answer for answer in answers if not isinstance(answer, int)] == []
        assert set(answers) <= set(pids)
        assert requests < 100 or set(answers) == set(pids)
        assert await asyncio.to_thread(command.wait) == 0
        assert all_gone(pids)


async def test_a_signal_to_every_process_of_the_pool_drains_it_all_the_same(
    target: Path, fresh_server: NatsServer
) -> None:
    """As systemd does it: the workers are signaled besides being told by their supervisor."""
    with start(target, fresh_server, "--workers", "2") as command:
        pids = pids_of(await in_thread(command, "is served by 2 workers"))
        async with natsrpc.connect(fresh_server.url) as client:
            calls = [
                asyncio.create_task(client.call("pool.pid", 1.0, int, timeout=10.0))
                for _ in range(50)
            ]
            await client.call("pool.pid", 0.0, int)
            await client.connection.flush()
            command.signal(signal.SIGTERM)
            await in_thread(command, "draining")
            refused = natsrpc.NoRespondersError  # once they have been told
            await until_raised(refused, lambda: client.call("pool.pid", 0.0, int))
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [answer for answer in answers if not isinstance(answer, int)] == []
        assert await asyncio.to_thread(command.wait) == 0


async def test_killed_worker_is_replaced(target: Path, fresh_server: NatsServer) -> None:
    with start(target, fresh_server, "--workers", "2") as command:
        pids = pids_of(await in_thread(command, "is served by 2 workers"))
        os.kill(pids[0], signal.SIGKILL)
        line = await in_thread(command, "was killed by SIGKILL")
        assert f"pid {pids[0]}" in line
        back = await in_thread(command, "is back")
        async with natsrpc.connect(fresh_server.url) as client:
            answers = {await client.call("pool.pid", 0.0, int) for _ in range(100)}
        assert answers == {pids[1], int(re.findall(r"pid (\d+)", back)[0])}
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


async def test_reload_replaces_all_workers_without_a_gap(
    target: Path, fresh_server: NatsServer
) -> None:
    """Under load: every call there ever was is answered, and each worker had some in flight."""
    with start(target, fresh_server, "--workers", "3") as command:
        pids = pids_of(await in_thread(command, "is served by 3 workers"))
        answers: list[int] = []
        done = asyncio.Event()

        async def call(client: natsrpc.Client) -> None:
            while not done.is_set():
                answers.append(await client.call("pool.pid", 0.2, int, timeout=5.0))

        async with natsrpc.connect(fresh_server.url) as client, asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(call(client))
            await client.call("pool.pid", 0.0, int)
            command.signal(signal.SIGHUP)
            await in_thread(command, "all workers are replaced")
            after = {await client.call("pool.pid", 0.0, int) for _ in range(100)}
            done.set()
        assert after.isdisjoint(pids)
        assert set(answers) >= set(pids)
        assert all_gone(pids)
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


async def test_reload_keeps_the_old_workers_if_the_new_one_fails(
    target: Path, fresh_server: NatsServer
) -> None:
    with start(target, fresh_server) as command:
        pids = pids_of(await in_thread(command, "is served by 1 worker "))
        target.write_text("this is no Python\n")
        command.signal(signal.SIGHUP)
        await in_thread(command, "the old ones stay")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("pool.pid", 0.0, int) == pids[0]
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


async def test_worker_that_cannot_be_replaced_is_tried_again_until_it_can(
    target: Path, fresh_server: NatsServer
) -> None:
    with start(target, fresh_server) as command:
        pids = pids_of(await in_thread(command, "is served by 1 worker "))
        target.write_text("this is no Python\n")
        os.kill(pids[0], signal.SIGKILL)
        told = await in_thread(command, "its replacement did not start")
        assert told.endswith("; a new one in 0.2 s")
        target.write_text(SERVICE)
        await in_thread(command, "is back")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("pool.pid", 0.0, int) not in pids
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


async def test_changed_file_is_taken_up_with_the_reload_flag(
    target: Path, fresh_server: NatsServer
) -> None:
    with start(target, fresh_server, "--reload") as command:
        await in_thread(command, "is served by 1 worker ")
        target.write_text(SERVICE.replace("return 1", "return 2222"))
        await in_thread(command, "has changed")
        await in_thread(command, "all workers are replaced")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("pool.version", None, int) == 2222
        command.signal(signal.SIGINT)
        assert await asyncio.to_thread(command.wait) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not made for Windows")
async def test_uvloop_can_be_asked_for(target: Path, fresh_server: NatsServer) -> None:
    with start(target, fresh_server, "--uvloop") as command:
        await in_thread(command, "is served by 1 worker ")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("pool.loop", None, str) == "uvloop"
            assert await client.call("pool.pid", 0.1, int) > 0
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


def test_missing_uvloop_is_named(target: Path) -> None:
    code = "import sys; sys.modules['uvloop'] = None; from natsrpc.cli.main import main; main()"
    with Command("run", str(target), "--uvloop", program=("-c", code)) as command:
        assert command.wait() == 2
    assert "pip install 'natsrpc[uvloop]'" in command.output


async def test_second_signal_ends_at_once(target: Path, fresh_server: NatsServer) -> None:
    with start(target, fresh_server) as command:
        pids = pids_of(await in_thread(command, "is served by 1 worker "))
        async with natsrpc.connect(fresh_server.url) as client:
            call = asyncio.create_task(client.call("pool.pid", 60.0, int, timeout=60.0))
            await client.call("pool.pid", 0.0, int)
            command.signal(signal.SIGINT)
            await in_thread(command, "draining")
            command.signal(signal.SIGINT)
            assert await asyncio.to_thread(command.wait, 10.0) == 1
            call.cancel()
        assert all_gone(pids)


async def test_workers_do_not_outlive_their_supervisor(
    target: Path, fresh_server: NatsServer
) -> None:
    with start(target, fresh_server, "--workers", "2") as command:
        pids = pids_of(await in_thread(command, "is served by 2 workers"))
        command.signal(signal.SIGKILL)
        assert await asyncio.to_thread(all_gone, pids)


def test_what_cannot_be_loaded_ends_with_one_line(fresh_server: NatsServer) -> None:
    with Command("run", "nowhere_at_all", "-w", "3", "-s", fresh_server.url) as command:
        assert command.wait() == 2
        assert command.output == "error: there is no module 'nowhere_at_all' here or on the path"


def test_module_that_raises_shows_its_traceback_once(
    target: Path, fresh_server: NatsServer
) -> None:
    target.write_text("1 / 0\n")
    with start(target, fresh_server, "--workers", "3") as command:
        assert command.wait() == 1
        assert command.output.count("ZeroDivisionError") == 1


def test_unreachable_server_ends_with_each_server_and_why(target: Path) -> None:
    server = "nats://127.0.0.1:1"
    with Command("run", str(target), "--server", server, cwd=target.parent) as command:
        assert command.wait() == 1
        assert command.output.startswith("error: ")
        assert "127.0.0.1:1" in command.output
        assert "--embedded starts one, --server or NATS_URL names another" in command.output
        assert "Traceback" not in command.output


def test_embedded_server_comes_and_goes_with_the_pool(target: Path, unused_tcp_port: int) -> None:
    url = f"nats://127.0.0.1:{unused_tcp_port}"
    with Command("run", str(target), "--embedded", "--server", url, cwd=target.parent) as command:
        command.wait_for(f"nats-server is ready on {url}")
        command.wait_for("is served by 1 worker ")
        command.signal(signal.SIGTERM)
        assert command.wait() == 0


def test_embedded_server_on_a_port_in_use_says_what_to_do(
    target: Path, nats_server: NatsServer
) -> None:
    arguments = ("run", str(target), "--embedded", "--server", nats_server.url)
    with Command(*arguments, cwd=target.parent) as command:
        assert command.wait() == 2
        port = nats_server.port
        assert command.output.startswith(f"error: port {port} is in use: leave out --embedded")
        assert command.output.strip().count("\n") == 0


async def test_a_pool_can_be_told_how_often_to_look_for_its_server(target: Path) -> None:
    (target.parent / "natsrpc.toml").write_text("[run.options]\nping_interval = 10\n")
    async with ScriptedServer() as server:
        arguments = ("run", str(target), "--server", server.url, "--ping-interval", "20ms")
        with Command(*arguments, cwd=target.parent) as command:
            peer = await server.accept(timeout=30)
            await in_thread(command, "is served by 1 worker")
            await eventually(lambda: peer.ops().count(b"PING") > 20)
            command.signal(signal.SIGTERM)
            assert await asyncio.to_thread(command.wait) == 0

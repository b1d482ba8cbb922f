"""`ls --watch`, `stats --watch`, `tap` and `bench`: what moves."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import datetime

import pytest

import natsrpc
from natsrpc.cli.output import begin_screen
from natsrpc.testing import NatsServer

from .conftest import service
from .processes import Command, Shell, run_command

pytestmark = [pytest.mark.live, pytest.mark.once]


async def test_stats_are_shown_again_and_again(
    natsrpc_command: Shell, fresh_server: NatsServer
) -> None:
    arguments = ("stats", "cli-test", "--watch", "--interval", "50ms", "-s", fresh_server.url)
    with Command(*arguments, env={"COLUMNS": "300"}) as command:
        await asyncio.to_thread(command.wait_for, "calls/s")
        await natsrpc_command("call", "cli.echo", "{}")

        def counted() -> bool:
            line = command.wait_for(" cli.echo ")
            return line.split()[2:4] == ["echo", "cli.echo"] and line.split()[5] == "1"

        await asyncio.to_thread(lambda: next(True for _ in range(1000) if counted()))
        command.signal(signal.SIGINT)
        assert await asyncio.to_thread(command.wait) == 130


async def test_a_service_that_nobody_has_is_not_watched_for_ever(fresh_server: NatsServer) -> None:
    shell = Shell(fresh_server.url)
    code, out, err = await shell("stats", "nobody", "--watch", "--timeout", "100ms")
    assert (code, out, err) == (3, "", "error: no service 'nobody' answered\n")


def test_a_new_look_leaves_alone_what_was_scrolled_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    begin_screen()
    assert capsys.readouterr().out == "\x1b[H\x1b[2J"


async def test_ls_as_json_is_a_document_a_line(
    natsrpc_command: Shell, fresh_server: NatsServer
) -> None:
    arguments = ("ls", "--watch", "--json", "--interval", "10ms", "-s", fresh_server.url)
    with Command(*arguments) as command:
        for _ in range(2):
            line = await asyncio.to_thread(command.wait_for, "cli-test")
            assert [each["name"] for each in json.loads(line)] == ["cli-test"]
        command.signal(signal.SIGINT)
        assert await asyncio.to_thread(command.wait) == 130


async def test_times_in_json_are_rfc_3339(natsrpc_command: Shell) -> None:
    _, out, _ = await natsrpc_command("stats", "--json")
    (told,) = json.loads(out)
    assert told["started"].endswith("Z")
    assert datetime.fromisoformat(told["started"]).utcoffset() is not None


async def test_tap_shows_requests_and_events(fresh_server: NatsServer) -> None:
    with Command("tap", "cli.>", "-n", "3", "-H", "-s", fresh_server.url) as command:
        await asyncio.to_thread(command.wait_for, "listening on cli.>")
        async with natsrpc.connect(fresh_server.url) as client, client.serve(service):
            await client.call("cli.echo", {"a": 1}, dict[str, int])
            await client.publish("cli.event", [1, "\x1b[31m"], headers={"Who": "me"})
            await client.connection.publish("cli.event", b"\xff\x00")
            assert await asyncio.to_thread(command.wait) == 0
    output = command.output
    assert "  request  cli.echo  7 B" in output
    assert '    {"a": 1}' in output
    assert "  event  cli.event  " in output
    assert "    Who: me" in output
    assert r'[1, "\u001b[31m"]' in output
    assert "    ff 00" in output
    assert "\x1b" not in output


async def test_tap_as_json_is_a_document_a_line(fresh_server: NatsServer) -> None:
    with Command("tap", "x.y", "--json", "-n", "2", "-s", fresh_server.url) as command:
        await asyncio.to_thread(command.wait_for, "listening")
        async with natsrpc.connect(fresh_server.url) as client:
            await client.publish("x.y", {"a": [1]}, headers={"Who": "me"})
            await client.connection.publish("x.y", b"\xff\x00")
            await client.connection.flush()
            assert await asyncio.to_thread(command.wait) == 0
    first, second = (json.loads(line) for line in command.lines if line.startswith("{"))
    assert (first["subject"], first["kind"], first["value"]) == ("x.y", "event", {"a": [1]})
    assert first["headers"]["Who"] == ["me"]
    assert datetime.fromisoformat(first["time"]).utcoffset() is not None
    assert second["base64"] == "/wA="


async def test_tap_ends_when_nothing_comes(fresh_server: NatsServer) -> None:
    code, out, _ = await Shell(fresh_server.url)("tap", "x.y", "-t", "100ms")
    assert (code, out) == (0, "")
    code, out, err = await Shell(fresh_server.url)("tap", "x.y", "-t", "0")
    assert (code, out) == (2, "")
    assert "error: timeout" in err


async def test_bench_counts_every_call(natsrpc_command: Shell) -> None:
    arguments = ("cli.echo", '{"a": 1}', "-n", "300", "-c", "8", "--connections", "2", "--json")
    code, out, err = await natsrpc_command("bench", *arguments)
    told = json.loads(out)
    assert (code, told["answered"], told["errors"], err) == (0, 300, {}, "")
    times = told["milliseconds"]
    assert 0 < times["min"] <= times["p50"] <= times["p90"] <= times["p99"] <= times["max"]
    _, out, _ = await natsrpc_command("stats", "cli-test", "--json")
    counts = {each["name"]: each["num_requests"] for each in json.loads(out)[0]["endpoints"]}
    assert counts["echo"] == 301  # one to see that there is somebody


async def test_bench_shows_a_histogram(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("bench", "cli.echo", "{}", "-n", "50")
    assert code == 0
    bars = [line for line in out.splitlines() if line.startswith("≤")]
    assert sum(int(line.split()[3]) for line in bars) == 50


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_bench_that_is_interrupted_shows_what_it_has_measured(
    natsrpc_command: Shell, fresh_server: NatsServer, flags: tuple[str, ...]
) -> None:
    arguments = ("bench", "cli.echo", "{}", "-n", "100000000", *flags, "-s", fresh_server.url)
    with Command(*arguments) as command:
        async with natsrpc.core.connect(fresh_server.url) as connection:

            async def has_begun() -> bool:
                (found,) = await natsrpc.discovery.stats(connection, "cli-test", stall=0.01)
                return found.endpoints[0].num_requests > 1000

            while not await has_begun():
                pass
        command.signal(signal.SIGINT)
        assert await asyncio.to_thread(command.wait) == 130
    if flags:
        assert json.loads(command.output)["answered"] > 0
    else:
        assert command.lines[0].startswith("answered   ")
        assert any(line.startswith("≤") for line in command.lines)


@pytest.mark.parametrize(("subject", "code"), [("nobody.here", 3), ("cli.missing", 4)])
async def test_bench_of_what_does_not_answer(
    natsrpc_command: Shell, subject: str, code: int
) -> None:
    assert (await natsrpc_command("bench", subject, "-n", "5"))[0] == code


async def test_bench_ends_after_its_time(natsrpc_command: Shell) -> None:
    arguments = ("cli.echo", "{}", "-n", "100000000", "--duration", "200ms", "--json")
    code, out, _ = await natsrpc_command("bench", *arguments)
    assert code == 0
    assert 0 < json.loads(out)["answered"] < 100_000_000


def test_commands_are_completed() -> None:
    code, out, _ = run_command(
        _NATSRPC_COMPLETE="complete_bash", COMP_WORDS="natsrpc sta", COMP_CWORD="1"
    )
    assert (code, out.split()) == (0, ["stats"])


def test_the_package_is_the_command() -> None:
    with Command("--help", program=("-m", "natsrpc")) as command:
        assert command.wait() == 0
    assert "Usage: natsrpc [OPTIONS] COMMAND" in command.output

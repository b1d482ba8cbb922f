"""`natsrpc info`, beside a running service."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

pytestmark = [pytest.mark.live, pytest.mark.once]


@pytest.fixture
def jetstream_server() -> Iterator[NatsServer]:
    with NatsServer(jetstream=True) as server:
        yield server


async def test_info_shows_endpoints(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("info", "cli-test")
    assert code == 0
    assert "for the command line" in out
    assert "cli.missing" in out
    code, out, _ = await natsrpc_command("info", "cli-test", "--json")
    assert [e["name"] for e in json.loads(out)[0]["endpoints"]] == [
        "echo",
        "header",
        "raw",
        "missing",
        "nothing",
        "count",
        "bytes",
        "sum",
        "double",
        "odd",
        "sleep",
    ]


async def test_info_shows_each_version_that_runs(fresh_server: NatsServer) -> None:
    def of_version(version: str) -> natsrpc.Service:
        found = natsrpc.Service("mixed", version=version)

        @found.handler(f"mixed.since{version[0]}", name="since")
        async def since() -> str:
            return version

        return found

    versions = [of_version(version) for version in ("2.0.0", "1.0.0", "2.0.0")]
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(natsrpc.connect(fresh_server.url))
        for version in versions:
            await stack.enter_async_context(client.serve(version))
        code, out, _ = await Shell(fresh_server.url)("info", "mixed")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line for line in lines if line[0] == "mixed"] == [
        ["mixed", "1.0.0"],
        ["mixed", "2.0.0"],
    ]
    assert [line[1] for line in lines if line[0] == "since"] == ["mixed.since1", "mixed.since2"]
    assert [len(line) - 1 for line in lines if line[0] == "instances"] == [1, 2]


async def test_schema_of_requests_and_replies_is_printed(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("info", "cli-test", "--schema")
    assert code == 0
    assert "cli.echo" in out
    json.loads(out)


async def test_types_are_shown_as_a_person_reads_them(natsrpc_command: Shell) -> None:
    _, out, _ = await natsrpc_command("info", "cli-test")
    lines = {line.split()[0]: line for line in out.splitlines() if "cli." in line}
    assert lines["echo"].endswith("dict[str, int]  dict[str, int]")
    assert lines["count"].endswith("int             stream of int | None")
    assert lines["raw"].endswith("bytes           bytes")
    assert lines["nothing"].endswith("nothing         nothing")


async def test_a_worker_is_shown_with_its_consumer(jetstream_server: NatsServer) -> None:
    service = natsrpc.Service("billing", version="1.0.0")

    @service.worker("jobs", stream="JOBS", durable="d")
    async def charge(number: int) -> None: ...

    async with natsrpc.connect(jetstream_server.url) as client:
        js = natsrpc.jetstream.JetStream(client.connection)
        await js.create_stream(natsrpc.jetstream.StreamConfig(name="JOBS", subjects=["jobs"]))
        async with client.serve(service):
            shell = Shell(jetstream_server.url)
            _, out, _ = await shell("info", "billing")
            assert out.splitlines()[-1].split()[:4] == ["charge", "(worker)", "jobs", "JOBS/d"]
            _, out, _ = await shell("stats", "billing")
            assert "charge (worker)" in out

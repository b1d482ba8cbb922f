"""The JavaScript client and its services library, both ways."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc import discovery
from natsrpc.testing import NatsServer

pytestmark = [pytest.mark.live, pytest.mark.interop]

FOLDER = Path(__file__).parent / "js"

service = natsrpc.Service(
    "for-js", version="1.0.0", description="called by others", metadata={"home": "python"}
)


class Refused(natsrpc.RpcError, code=409):
    """There is a limit."""

    limit: int


@service.handler("js.add", name="add")
async def add(a: int, b: int) -> int:
    if a + b > 100:
        raise Refused("too much", limit=100)
    return a + b


@pytest.fixture(scope="module")
def node() -> str:
    """The program, with the packages at hand."""
    found = shutil.which("node")
    missing = "node is missing" if found is None else ""
    if not missing and not (FOLDER / "node_modules").is_dir():
        missing = "the JavaScript packages are missing: scripts/js installs them"
    if found is None or missing:
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


@service.handler("js.each", name="each")
async def each(values: list[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


def test_the_packages_may_come_from_any_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert packages
    assert [name for name, each in packages.items() if "resolved" in each] == []
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())


async def ran(node: str, *arguments: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        node,
        *arguments,
        cwd=FOLDER,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 30.0)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_javascript_finds_our_service_and_calls_it(
    node: str, nats_server: NatsServer
) -> None:
    calls = [["js.add", {"a": 1, "b": 2}], ["js.add", {"a": 99, "b": 2}], ["js.add", {"a": "x"}]]
    async with natsrpc.connect(nats_server.url) as client, client.serve(service):
        lists = json.dumps(calls), json.dumps([["js.each", [0, None, "", False, 1]]])
        got = await ran(node, "caller.mjs", nats_server.url, "for-js", *lists)
    assert got["streams"] == [[0, None, "", False, 1]]
    (ping,), (info,), (stats,) = got["ping"], got["info"], got["stats"]
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert (info["name"], info["version"], info["id"]) == ("for-js", "1.0.0", ping["id"])
    assert (info["description"], info["metadata"]) == ("called by others", {"home": "python"})
    endpoint, _ = info["endpoints"]
    assert (endpoint["name"], endpoint["subject"], endpoint["queue_group"]) == (
        "add",
        "js.add",
        "q",
    )
    value, refused, invalid = got["answers"]
    assert value == {"value": 3}
    assert (refused["code"], refused["error"]) == (409, "too much")
    assert json.loads(refused["body"]) == {"limit": 100}
    assert invalid["code"] == 422
    counted, _ = stats["endpoints"]
    assert (counted["num_requests"], counted["num_errors"]) == (3, 2)


async def test_javascript_and_we_meet_over_websocket(node: str) -> None:
    version = await asyncio.to_thread(subprocess.check_output, [node, "--version"], text=True)
    # until 22, what browsers have is behind a flag
    flags = ["--experimental-websocket"] if int(version[1:].partition(".")[0]) < 22 else []
    config = 'websocket { host: "127.0.0.1", port: -1, no_tls: true }'
    async with NatsServer(config) as server:
        url = f"ws://127.0.0.1:{server.websocket_port}"
        body = {"a": 1, "b": 2}
        large = ["x" * 10_000] * 5
        async with natsrpc.connect(url) as client, client.serve(service):
            lists = json.dumps([["js.add", body]]), json.dumps([["js.each", large]])
            got = await ran(node, *flags, "caller.mjs", url, "for-js", *lists)
    assert got["answers"] == [{"value": 3}]
    assert got["streams"] == [large]
    assert [one["name"] for one in got["info"]] == ["for-js"]


@pytest.fixture
async def prefix(node: str, nats_server: NatsServer) -> AsyncIterator[str]:
    """The prefix of a JavaScript service that runs meanwhile."""
    process = await asyncio.create_subprocess_exec(
        node,
        "service.mjs",
        nats_server.url,
        "js-service",
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 30.0) == b"ready\n"
        yield "js-service"
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30.0) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_we_find_a_javascript_service_and_call_it(
    prefix: str, nats_server: NatsServer
) -> None:
    async with natsrpc.connect(nats_server.url) as client:
        (info,) = await discovery.info(client.connection, f"js-{prefix}")
        assert (info.version, info.description) == ("1.2.3", "written in JavaScript")
        subjects = [endpoint.subject for endpoint in info.endpoints]
        assert subjects == [f"{prefix}.double", f"{prefix}.headers", f"{prefix}.count"]
        assert await client.call(f"{prefix}.double", {"value": 21}, int) == 42
        with pytest.raises(natsrpc.RpcError) as caught:
            await client.call(f"{prefix}.double", {"value": "x"}, int)
        assert (caught.value.code, caught.value.message) == (422, "value is no number")
        values = [0, None, "", False, 1]
        streamed = client.stream(f"{prefix}.count", values, timeout=5.0)
        assert [item async for item in streamed] == values
        (stats,) = await discovery.stats(client.connection, f"js-{prefix}")
        assert stats.num_requests == 3

"""What an import loads, and what it leaves until it is used: sets of modules, so that it holds on
any machine. What has been found to cost is named here; seconds are measured by `scripts/bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

# Each takes a millisecond or more with what it brings in, and none is needed to begin.
COSTLY = {
    "concurrent.futures.thread",
    "email",
    "hashlib",
    "hmac",
    "importlib.metadata",
    "secrets",
    "unittest",
    "zipfile",
}
PYDANTIC = {"annotated_types", "msgpack", "pydantic", "pydantic_core", "typing_inspection"}
SERVING = {
    "natsrpc.codecs.json",
    "natsrpc.codecs.msgpack",
    "natsrpc.codecs.protobuf",
    "natsrpc.codecs.text",
    "natsrpc.describe",
    "natsrpc.discovery",
    "natsrpc.durable",
    "natsrpc.jetstream",
    "natsrpc.observe",
    "natsrpc.testing",
}


def run(code: str) -> Any:
    """What a fresh process finds in `found` at the end of the code."""
    code = f"import json, sys\nbefore = set(sys.modules)\n{code}\nprint(json.dumps(sorted(found)))"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh process loads to run the code."""
    return set(run(f"{code}\nfound = sys.modules.keys() - before"))


def rooms(loaded: set[str]) -> set[str]:
    """What of ours stands at the top among these."""
    return {name for name in loaded if name.count(".") == 1 and name.startswith("natsrpc.")}


def test_the_package_alone_loads_errors_and_the_version() -> None:
    loaded = loaded_by("import natsrpc")
    assert rooms(loaded) == {"natsrpc.errors", "natsrpc.version"}
    assert loaded & (COSTLY | PYDANTIC | {"asyncio"}) == set()


def test_core_loads_neither_types_nor_services() -> None:
    loaded = loaded_by("import natsrpc.core")
    assert rooms(loaded) == {"natsrpc.core", "natsrpc.errors", "natsrpc.version"}
    assert loaded & (COSTLY | PYDANTIC | {"glob", "pathlib"}) == set()


def test_jetstream_loads_neither_types_nor_services() -> None:
    loaded = loaded_by("import natsrpc; natsrpc.jetstream.JetStream")
    ours = {"natsrpc.core", "natsrpc.errors", "natsrpc.jetstream", "natsrpc.version"}
    assert rooms(loaded) == ours
    assert loaded & PYDANTIC == set()


@pytest.mark.parametrize("name", ["Client", "Service", "connect", "run"])
def test_a_name_of_rpc_loads_no_codec_and_nothing_that_serves(name: str) -> None:
    loaded = loaded_by(f"import natsrpc; natsrpc.{name}")
    assert "natsrpc.rpc.client" in loaded
    assert "natsrpc.rpc.calling.arguments" not in loaded  # for type checkers alone
    assert loaded & (COSTLY | PYDANTIC | SERVING) == set()


def test_a_codec_loads_when_it_is_asked_for() -> None:
    loaded = loaded_by("from natsrpc import codecs; codecs.get('raw'); codecs.get('text')")
    assert loaded & PYDANTIC == set()
    loaded = loaded_by("from natsrpc import codecs; codecs.by_content_type('application/json')")
    assert "pydantic" in loaded
    assert loaded & {"msgpack", "natsrpc.codecs.text"} == set()


def test_a_running_service_loads_nothing_for_a_message() -> None:
    code = """
import asyncio, natsrpc
from natsrpc.testing import Broker

service = natsrpc.Service("sums", version="1.0.0")

@service.handler("add")
async def add(a: int, b: int) -> int:
    if a > b:
        raise natsrpc.ConflictError("the wrong way round", details=[a, b])
    return a + b

async def main():
    options = Broker().options()
    async with (
        natsrpc.connect("nats://memory:4222", **options) as worker,
        natsrpc.connect("nats://memory:4222", **options) as client,
        worker.serve(service),
    ):
        before = set(sys.modules)
        for codec in natsrpc.codecs.names():
            if codec in ("json", "msgpack"):
                assert await client.call(add, {"a": 1, "b": 2}, codec=codec) == 3
                try:
                    await client.call(add, {"a": 2, "b": 1}, codec=codec)
                except natsrpc.ConflictError:
                    pass
        assert await natsrpc.discovery.schemas(client.connection, "sums")
        return sys.modules.keys() - before

found = asyncio.run(main())
"""
    loaded = run(code)
    assert [name for name in loaded if name.startswith(("natsrpc", "msgpack"))] == []


@pytest.mark.parametrize("face", ["natsrpc", "natsrpc.rpc"])
def test_a_service_has_discovery_and_its_kit_however_it_is_imported(face: str) -> None:
    code = f"""
import asyncio
from {face} import Service

async def main():
    async with Service("spelled", version="1.0.0").test() as client:
        replies = client.connection.request_many("$SRV.PING.spelled", timeout=5, max_msgs=1)
        return [msg.data.decode() async for msg in replies]

found = asyncio.run(main())
"""
    (pong,) = run(code)
    assert json.loads(pong)["name"] == "spelled"


@pytest.mark.parametrize("part", ["otel", "prometheus"])
def test_what_observes_is_reached_from_the_package(part: str) -> None:
    code = f"import natsrpc\nfound = dir(natsrpc.observe.{part})"
    assert {"otel": "instrument", "prometheus": "Metrics"}[part] in run(code)
    loaded = loaded_by("import natsrpc; natsrpc.observe")
    assert loaded & {"natsrpc.observe.otel", "natsrpc.observe.prometheus", "natsrpc.rpc"} == set()

"""The TypeScript stub: compiled with every check there is, and run against a service of ours."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import natsrpc
from examples.services.helpdesk import service as helpdesk
from natsrpc.core import Connection, Msg, connect
from natsrpc.describe import document, typescript
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.describe.wide import service as wide

pytestmark = [pytest.mark.interop]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = HERE / "js" / "node_modules"
COMPILER = MODULES / "typescript" / "bin" / "tsc"

FRAME = "Natsrpc-Frame"
HOSTILE = '*/ }\n// \u2028 \x00 `${x}` "; process.exit(7); /*'


class Part(BaseModel):
    """A part of something."""

    sku: str
    count: int = 1


class Missing(natsrpc.RpcError, code=409):
    """There is none."""

    sku: str
    near: list[Part]


class Ended:
    """What is known of the streams that callers left."""

    count = 0


moved = natsrpc.Event("depot.events.{where}.moved", Part)
service = natsrpc.Service("depot", version="1.0.0", description=HOSTILE, publishes=[moved])
depot = service.group("depot")


@depot.handler("put")
async def put(part: Part) -> Part:
    """Put it there. */ const x = 1; /*"""
    return Part(sku=part.sku, count=part.count + 1)


@depot.handler("{shelf}.shelf", name="shelf")
async def shelf(shelf: str) -> str:
    return shelf


@depot.handler("raw")
async def raw(data: bytes) -> bytes:
    return data[::-1]


@depot.handler("nothing")
async def nothing() -> None: ...


@depot.handler("take", errors=(Missing, natsrpc.NotFoundError))
async def take(sku: Annotated[str, natsrpc.Embed]) -> Part:
    if sku == "z":
        raise Missing("none", sku=sku, near=[Part(sku="y")])
    raise natsrpc.NotFoundError("no such thing", details={"id": 7})


@depot.handler("late")
async def late() -> None:
    await asyncio.Event().wait()


@depot.handler("who")
async def who(who: Annotated[str, natsrpc.Header("Who")]) -> str:
    return who


@depot.handler("count")
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@depot.handler("forever")
async def forever() -> AsyncIterator[int]:
    number = 0
    try:
        while True:
            number += 1
            yield number
    finally:
        Ended.count += 1


@depot.handler("broken")
async def broken(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number
    raise natsrpc.ConflictError("no more")


@depot.handler("large")
async def large(sizes: list[int]) -> AsyncIterator[str]:
    for size in sizes:
        yield "x" * size


@depot.handler("quiet")
async def quiet() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 1


@depot.handler("sum")
async def total(numbers: AsyncIterator[int]) -> int:
    return sum([number async for number in numbers])


@depot.handler("join")
async def join(texts: AsyncIterator[str]) -> list[int]:
    return [len(text) async for text in texts]


@depot.handler("first")
async def first(numbers: AsyncIterator[int]) -> int:
    async for number in numbers:
        return number
    return 0


@depot.handler("refuse", errors=(Missing,))
async def refuse(numbers: AsyncIterator[int]) -> int:
    raise Missing("none", sku="all", near=[])


@depot.handler("double")
async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield number * 2


@depot.handler("length")
async def length(text: str) -> int:
    return len(text)


@depot.handler("repeat")
async def repeat(text: str, times: int) -> str:
    return text * times


heard: list[tuple[str, str]] = []


@service.subscriber(moved, name="follow")
async def follow(part: Part, where: str) -> None:
    heard.append((part.sku, where))


GONE = "gone"
SCRIPTS: dict[str, list[tuple[str, str]]] = {
    "vanishes": [("alive 0", ""), ("item 1", "1"), (GONE, "")],
    "plain": [("", "1"), ("", "2"), ("", "")],
    "leaves out": [("alive 0", ""), ("item 1", "1"), ("item 3", "3")],
    "overdraws": [("alive 0", ""), ("part 1 9", "1")] + [(f"item {n}", "1") for n in range(2, 400)],
    "promises": [("alive 0", ""), ("part 1 7", "12"), ("item 2", "34")],
    "is too large": [("alive 0", ""), ("part 1 99999999999", "12")],
    "ends early": [("alive 0", ""), ("item 1", "1"), ("end 2", "")],
    "babbles": [("alive 0", ""), ("item x", "1")],
    "is no number": [("alive 0", ""), ("item -1", "1")],
    "later": [("alive 0", ""), ("sing 1 2 3", ""), ("item 1", "1"), ("end 1", "")],
    "forwards": [("alive 0", "$JS.API.STREAM.DELETE.x"), ("item 1", "1")],
}
"""What a worker that is none of ours says after its `ack`: frames and bodies."""

ODD = {
    "vanishes": [[1], {"code": 503, "name": "UnavailableError"}],
    "plain": [[1, 2], {}],
    "leaves out": [[1], {"code": 503, "name": "UnavailableError"}],
    "overdraws": [[], {"code": 503, "name": "UnavailableError"}],
    "promises": [[], {"code": 503, "name": "UnavailableError"}],
    "is too large": [[], {"code": 413, "name": "ReplyTooLargeError"}],
    "ends early": [[1], {"code": 503, "name": "UnavailableError"}],
    "babbles": [[], {"code": 503, "name": "UnavailableError"}],
    "is no number": [[], {"code": 503, "name": "UnavailableError"}],
    "later": [[1], {}],
    "forwards": [[], {"code": 503, "name": "UnavailableError"}],
}
"""What its caller gets."""


@depot.handler("scripts")
async def scripts() -> list[str]:
    return list(SCRIPTS)


async def serve_odd(connection: Connection) -> None:
    """Answer `depot.odd` by the script that the request names."""

    async def answer(msg: Msg) -> None:
        script = SCRIPTS[json.loads(msg.data)]
        frames = any(word for word, _ in script)
        address = connection.new_inbox()
        mine = await connection.subscribe(address, cb=lambda _: None)
        if frames:
            await connection.publish(msg.reply, reply=address, headers={FRAME: "ack 0"})
        for word, data in script:
            if word == GONE:
                await mine.unsubscribe()
                continue
            headers = {FRAME: word} if word else None
            moved_to = data if data.startswith("$") else ""
            body = b"" if moved_to else data.encode()
            await connection.publish(msg.reply, body, reply=moved_to or None, headers=headers)
        await connection.flush()

    await connection.subscribe("depot.odd", cb=answer)
    await connection.flush()


def contract() -> dict[str, Any]:
    """The service's, one endpoint that others serve, and two that nobody serves."""
    found = document(service.contract)
    nobody = {"queue_group": "q", "idempotent": False, "description": HOSTILE, "request": None}
    nobody |= {"items": None, "response": {"type": "null"}, "errors": [], "content_type": ""}
    for name, kind in (("elsewhere", "response_stream"), ("nowhere", "unary")):
        subject = f"depot.{name}"
        found["endpoints"].append(
            nobody | {"name": name, "subject": subject, "template": subject, "kind": kind}
        )
    odd = {
        "name": "odd",
        "subject": "depot.odd",
        "template": "depot.odd",
        "kind": "response_stream",
    }
    found["endpoints"].append(nobody | odd | {"request": {"type": "string"}, "response": {}})
    return found


@pytest.fixture(scope="module")
def node() -> str:
    """The program, with the compiler at hand."""
    found = shutil.which("node")
    missing = "node is missing" if found is None else ""
    if not missing and not COMPILER.is_file():
        missing = "the TypeScript compiler is missing: scripts/js installs it"
    if found is None or missing:
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


def compiled(node: str, folder: Path, **modules: str) -> Path:
    """Compile modules in a folder; return that of the JavaScript."""
    (folder / "node_modules").symlink_to(MODULES)
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "ts" / "tsconfig.json", folder)
    for name, source in modules.items():
        (folder / f"{name}.ts").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [node, str(COMPILER), "-p", str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def test_every_type_compiles(node: str, tmp_path: Path) -> None:
    compiled(node, tmp_path, wide=typescript(document(wide.contract)))


def test_the_code_on_the_page_compiles(node: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```typescript\n(.*?)^```$", page, re.M | re.S)
    assert blocks
    pages = {f"page{number}": each for number, each in enumerate(blocks)}
    compiled(node, tmp_path, helpdesk=typescript(document(helpdesk.contract)), **pages)


def hostile() -> dict[str, Any]:
    """A contract whose every text would leave its place, if it could."""
    texts = [
        HOSTILE,
        "constructor",
        "then",
        "__proto__",
        "RpcError",
        "Promise",
        "ask",
        "9",
        '"',
        "\\",
    ]
    texts += ["${1}", "class", "Conversation", "natsHeaders", "a-b", "\ud800", "export", "Errors"]
    model = {
        "type": "object",
        "title": HOSTILE,
        "description": HOSTILE,
        "properties": {each: {"type": "string", "description": each} for each in texts},
        "additionalProperties": {"const": HOSTILE},
    }
    endpoints = []
    for number, each in enumerate(texts):
        shape = {**model, "title": each}
        endpoint = {
            "name": each,
            "subject": f"s{number}.{each}",
            "template": f"s{number}.{{class}}.{{__proto__}}.{each}".replace("*", "").replace(
                ">", ""
            ),
            "kind": ("unary", "response_stream", "request_stream", "both_stream")[number % 4],
            "description": each,
            "request": shape,
            "items": {"enum": texts, "title": each} if number % 4 > 1 else None,
            "response": {"type": "array", "items": shape},
            "errors": [{"name": each, "code": 400 + number, "description": each, "fields": shape}],
        }
        endpoints.append(endpoint)
    events = [{"subject": f"e{n}.{each}", "payload": model} for n, each in enumerate(texts)]
    return {"name": HOSTILE, "version": HOSTILE, "endpoints": endpoints, "publishes": events}


def test_no_text_leaves_its_place(node: str, tmp_path: Path) -> None:
    source = typescript(json.loads(json.dumps(hostile())))
    folder = compiled(node, tmp_path, hostile=source)
    done = subprocess.run(
        [node, str(folder / "hostile.js")], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def answered(node: str, folder: Path, url: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        node,
        str(folder / "program.js"),
        url,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60.0)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.live
async def test_calls_by_the_stub_are_those_of_a_client_of_ours(
    node: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    program = (HERE / "ts" / "program.ts").read_text(encoding="utf-8")
    folder = await asyncio.to_thread(
        lambda: compiled(node, tmp_path, depot=typescript(contract()), program=program)
    )
    Ended.count = 0
    heard.clear()
    async with natsrpc.connect(nats_server.url) as client, client.serve(service):
        async with connect(nats_server.url) as others:
            await serve_odd(others)
            got = await answered(node, folder, nats_server.url)
        await eventually(lambda: Ended.count == 1)
        await eventually(lambda: heard == [("moved", "here")])
    assert got.pop("invalid")["code"] == 422
    assert {which: rest for which, *rest in got.pop("odd")} == ODD
    assert got == {
        "typed": 3,
        "shelf": "b7",
        "badToken": "RangeError",
        "raw": [255, 2, 1],
        "nothing": "nothing",
        "missing": {"missing": "z", "near": 1},
        "notFound": {"code": 404, "name": "NotFoundError", "details": {"id": 7}},
        "late": {"code": 504, "name": "DeadlineExceededError"},
        "headers": "me",
        "counted": [5000, 0, 4999],
        "left": 700,
        "broken": [0, 1, 2],
        "end": {"code": 409, "name": "ConflictError"},
        "sizes": [3, 1_000_000, 2_000_000, 0],
        "sum": 3000 * 3001 // 2,
        "list": 6,
        "joined": [1, 2_500_000, 0],
        "early": {"value": 1},
        "refused": {"missing": "all", "near": 0},
        "echoed": [2000, 4000],
        "length": 2_500_000,
        "repeated": 3_000_000,
        "tooLarge": {"code": 413, "name": "ReplyTooLargeError"},
        "nobody": "NoResponders",
        "nobodyUnary": "RequestError",
        "idle": "TimeoutError",
    }

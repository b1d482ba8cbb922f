"""The pages of a pool, asked through the app."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from natsrpc.web import pages
from tests.core.harness import turns


class Pool:
    """A pool that says what a test wants."""

    def __init__(self, *, ready: bool) -> None:
        self.ready = ready

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        return self.ready, {"status": "ok" if self.ready else "draining"}

    def metrics(self) -> str:
        return "a_total 1\n"

    def info(self) -> dict[str, Any]:
        return {"targets": ["shop:service"]}


async def ask(pool: Pool, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """What an ASGI server would send for a request."""
    return await ask_app(pages(pool), path, method)


async def ask_app(app: Any, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


@pytest.mark.parametrize(("ready", "code"), [(True, 200), (False, 503)])
async def test_readyz_says_whether_calls_are_answered(ready: bool, code: int) -> None:
    status, _, body = await ask(Pool(ready=ready), "/readyz")
    assert (status, json.loads(body)["status"]) == (code, "ok" if ready else "draining")


async def test_those_who_ask_at_once_share_one_look_at_the_workers() -> None:
    looks: list[asyncio.Event] = []

    class Slow(Pool):
        async def readiness(self) -> tuple[bool, dict[str, Any]]:
            looks.append(asyncio.Event())
            await looks[-1].wait()
            return await super().readiness()

    app = pages(Slow(ready=True))
    asked = [asyncio.ensure_future(ask_app(app, "/readyz")) for _ in range(50)]
    await turns(10)
    asked.pop().cancel()  # who asked first, or last, may leave
    asked.pop(0).cancel()
    await turns(10)
    looks[0].set()
    assert {status for status, _, _ in await asyncio.gather(*asked)} == {200}
    assert len(looks) == 1
    later = asyncio.ensure_future(ask_app(app, "/readyz"))
    await turns(10)
    looks[1].set()
    assert (await later)[0] == 200


async def test_livez_is_well_also_where_nothing_is_ready() -> None:
    status, _, body = await ask(Pool(ready=False), "/livez")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


async def test_metrics_have_the_type_that_prometheus_reads() -> None:
    status, headers, body = await ask(Pool(ready=True), "/metrics")
    assert (status, body) == (200, b"a_total 1\n")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_info_is_json() -> None:
    status, _, body = await ask(Pool(ready=True), "/info")
    assert (status, json.loads(body)) == (200, {"targets": ["shop:service"]})


async def test_nothing_else_is_there_and_nothing_is_changed() -> None:
    assert (await ask(Pool(ready=True), "/docs"))[0] == 404
    assert (await ask(Pool(ready=True), "/info", "POST"))[0] == 405

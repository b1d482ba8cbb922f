"""The blocking client in Django: views in the threads of WSGI, and under ASGI."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django.conf
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.wsgi import get_wsgi_application

import natsrpc.sync

from . import shop_views
from .desk import seen

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, client: natsrpc.sync.Client) -> None:
    if not django.conf.settings.configured:
        django.conf.settings.configure(
            ROOT_URLCONF=shop_views.__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", MIDDLEWARE=[]
        )
        django.setup()
    monkeypatch.setattr(shop_views, "client", client)


def get(path: str) -> tuple[str, bytes]:
    """The status and the body of a request by WSGI."""
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    response = get_wsgi_application()(environ, lambda line, _: status.append(line))
    try:
        return status[0], b"".join(response)
    finally:
        response.close()


def test_views_in_many_threads_share_a_client() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(get, [f"/add/{number}" for number in range(40)]))
    assert found == [("200 OK", b'{"sum": %d}' % (number + 2)) for number in range(40)]


def test_a_streamed_answer_is_a_streamed_response() -> None:
    assert get("/count/3") == ("200 OK", b"0\n1\n2\n")
    assert seen.closed.wait(10)


@pytest.mark.parametrize("path", ["/add/1", "/add_async/1"])
async def test_views_under_asgi(path: str) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    requests = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        try:
            return next(requests)
        except StopIteration:
            return await asyncio.Future()  # the browser stays

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await ASGIHandler()(scope, receive, send)
    assert [sent[0]["status"], sent[1]["body"]] == [200, b'{"sum": 3}']

"""examples/services/storefront.py: a Flask application, run by its threads and without a server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import natsrpc.sync
from examples.services import helpdesk, storefront
from natsrpc.testing import NatsServer
from tests.sync.desk import served


@pytest.fixture
def connected(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with natsrpc.sync.connect(nats_server.url, lazy=True) as desk:
        monkeypatch.setattr(storefront, "desk", desk)
        yield nats_server.url


def test_a_view_answers_with_what_the_service_answers(connected: str) -> None:
    with served(connected, helpdesk.service):
        response = storefront.app.test_client().get("/help/nats")
    assert (response.status_code, response.json) == (200, {"text": "I can help with nats"})


def test_threads_of_the_application_share_the_client(connected: str) -> None:
    def get(number: int) -> object:
        return storefront.app.test_client().get(f"/help/{number}").json

    with served(connected, helpdesk.service), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(get, range(40)))
    assert found == [{"text": f"I can help with {number}"} for number in range(40)]


def test_what_goes_wrong_has_a_status(connected: str) -> None:
    response = storefront.app.test_client().get("/help/nats")
    assert (response.status_code, response.json) == (
        503,
        {"error": "NoRespondersError", "message": "try again later"},
    )
    strict = natsrpc.Service("helpdesk", version="1.0.0")

    @strict.handler("help")
    async def help(topic: int) -> str:
        raise NotImplementedError

    with served(connected, strict):
        response = storefront.app.test_client().get("/help/nats")
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["error"] == "InvalidRequestError"


def test_the_module_imports_where_there_is_no_server() -> None:
    assert repr(storefront.desk) == "<sync.Client, not connected>"

"""What a service's own program hears of it: its end, its errors, and the figures it shows."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from natsrpc import Service, connect, discovery
from natsrpc.errors import ConfigError, ConfigTypeError, MessagesLostError, PermissionsError
from natsrpc.testing import NatsServer
from tests.core.harness import eventually


def calc(**options: Any) -> Service:
    service = Service("calc", version="1.0.0", **options)

    @service.handler("calc.add", name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @service.handler("calc.fail", name="fail")
    async def fail() -> int:
        raise ValueError

    return service


# the end


@pytest.mark.parity("L-micro-callbacks")
@pytest.mark.live
@pytest.mark.parametrize("how", ["drain", "close", "connection closes", "connection drains"])
async def test_its_end_is_told_once_when_all_is_answered(how: str, nats_server: NatsServer) -> None:
    said: list[str] = []
    service = calc(on_done=lambda: said.append("done"))
    async with connect(nats_server.url) as client:
        server = await client.serve(service)
        assert not said
        if how == "drain":
            await server.drain()
        elif how == "close":
            await server.close()
        elif how == "connection closes":
            await client.connection.close()
        else:
            await client.connection.drain()
        await eventually(lambda: said)
        await server.drain()
    assert said == ["done"]


@pytest.mark.live
async def test_an_async_one_is_awaited_and_one_that_raises_ends_nothing(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    async def done() -> None:
        await asyncio.sleep(0)
        said.append("done")

    def broken() -> None:
        raise ZeroDivisionError

    async with connect(nats_server.url) as client:
        async with client.serve(calc(on_done=done)):
            pass
        assert said == ["done"]
        async with client.serve(calc(on_done=broken)):
            pass
        assert "on_done of service calc raised" in caplog.text


@pytest.mark.live
async def test_a_service_that_never_started_has_no_end(nats_server: NatsServer) -> None:
    said: list[str] = []
    async with connect(nats_server.url) as client:
        one = calc(on_done=lambda: said.append("done"))
        await client.connection.close()
        with pytest.raises(Exception, match="closed"):
            await client.serve(one)
    assert not said


# errors


@pytest.mark.parity("L-micro-callbacks")
@pytest.mark.live
async def test_a_denied_subscription_is_told_with_its_subject(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def config(denied: str) -> str:
        deny = f'subscribe: {{ deny: ["{denied}"] }}'
        return (
            f"authorization {{ users: [ {{user: me, password: x, permissions: {{ {deny} }}}} ] }}"
        )

    told: list[tuple[str, Exception]] = []

    def hear(subject: str, error: Exception) -> None:
        told.append((subject, error))
        raise ZeroDivisionError

    with NatsServer(config("nothing")) as server:
        async with (
            connect(server.url, user="me", password="x") as client,
            client.serve(calc(on_error=hear)),
        ):
            server.reload(config("calc.add"))
            await eventually(lambda: told)
            (subject, error), *_ = told
            assert (subject, type(error)) == ("calc.add", PermissionsError)
            assert "on_error of service calc raised" in caplog.text


async def test_lost_messages_are_told() -> None:
    told: list[tuple[str, Exception]] = []
    service = calc(on_error=lambda *event: told.append(event))
    async with service.test() as client:
        await client.connection.publish("calc.fail", b"")
        await eventually(lambda: told)
    ((subject, error),) = told
    assert subject == "calc.fail"
    assert isinstance(error, MessagesLostError)


# figures


@pytest.mark.parity("L-micro-stats")
async def test_figures_stand_at_the_top_of_data_and_ours_beside() -> None:
    service = calc()
    asked: list[str] = []

    @service.stats
    def figures(endpoint: str) -> dict[str, Any]:
        asked.append(endpoint)
        return {"cache": {"hits": len(endpoint)}, "rate": 0.5, "none": None}

    async with service.test() as client:
        reply = await client.connection.request("$SRV.STATS.calc", b"")
        add, fail = json.loads(reply.data)["endpoints"]
        assert add["data"]["cache"] == {"hits": 3}
        assert fail["data"]["cache"] == {"hits": 4}
        ours = add["data"]["natsrpc"]
        assert sorted(ours) == ["dropped", "health", "inflight", "refused"]
        assert ours["health"]["status"] == "ok"
        assert sorted(add["data"]) == ["cache", "natsrpc", "none", "rate"]
        assert asked == ["add", "fail"]
        (stats,) = await discovery.stats(client.connection, "calc")
        assert stats.endpoints[0].data["rate"] == 0.5
        assert stats.health is not None


BAD: list[tuple[Any, str]] = [
    (lambda endpoint: 1 / 0, "ZeroDivisionError"),
    (lambda endpoint: [1], "expected a mapping, not list"),
    (lambda endpoint: {"natsrpc": {}}, "is for the figures of natsrpc itself"),
    (lambda endpoint: {"x": float("nan")}, "not JSON compliant"),
    (lambda endpoint: {"x": object()}, "not JSON serializable"),
]


@pytest.mark.parametrize(("figures", "told"), BAD)
async def test_bad_figures_are_left_out_and_the_service_stays_visible(
    figures: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = calc()
    service.stats(figures)
    caplog.set_level(logging.WARNING)
    async with service.test() as client:
        (stats,) = await discovery.stats(client.connection, "calc")
        assert [sorted(each.data) for each in stats.endpoints] == [["natsrpc"]] * 2
    assert told in caplog.text


async def coroutine(*args: Any) -> Any:
    """Not to be awaited."""


def test_functions_that_cannot_be_are_refused() -> None:
    for name in ("on_done", "on_error"):
        with pytest.raises(ConfigTypeError, match=f"{name} must be callable, not 5"):
            calc(**{name: 5})
    with pytest.raises(ConfigError, match="on_error must be a plain function"):
        calc(on_error=coroutine)
    service = calc()
    with pytest.raises(ConfigError, match="stats must be a plain function"):
        service.stats(coroutine)  # type: ignore[type-var]
    with pytest.raises(ConfigTypeError, match="stats must be given a function, not 5"):
        service.stats(5)  # type: ignore[type-var]
    service.stats(lambda endpoint: {})
    with pytest.raises(ConfigError, match="have that one give the figures of both"):
        service.stats(lambda endpoint: {})

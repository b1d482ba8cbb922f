"""What `connect(...)` and `client.serve(...)` give before they are awaited."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

import natsrpc
from natsrpc.core import Opening, connect


@pytest.mark.parametrize(
    ("make", "call"),
    [(connect, "connect(...)"), (natsrpc.connect, "connect(...)")],
)
def test_what_is_never_awaited_is_warned_of(make: Any, call: str) -> None:
    with pytest.warns(RuntimeWarning, match="was never awaited") as caught:
        make("nats://127.0.0.1:1")
        gc.collect()
    assert [str(each.message) for each in caught] == [
        f"{call} was never awaited: write 'await {call}' or 'async with {call}'"
    ]


async def test_services_that_are_never_served_are_warned_of() -> None:
    service = natsrpc.Service("forgotten", version="1.0.0")
    async with service.test() as client:
        assert isinstance(client, natsrpc.Client)
        with pytest.warns(RuntimeWarning, match=r"client.serve\(...\) was never awaited"):
            client.serve(service)
            gc.collect()


async def test_what_was_awaited_is_not_warned_of_even_where_it_failed() -> None:
    with warnings.catch_warnings(record=True) as caught:
        for make in (connect, natsrpc.connect):
            with pytest.raises(natsrpc.NoServersError):
                await make("nats://127.0.0.1:1")
            with pytest.raises(natsrpc.NoServersError):
                async with make("nats://127.0.0.1:1"):
                    pass
        gc.collect()
    assert caught == []


async def test_its_attributes_are_asked_for_too_early() -> None:
    opening: Opening[Any] = natsrpc.connect("nats://127.0.0.1:1")
    with pytest.raises(AttributeError, match="no 'call' before it is open: write 'await connect"):
        opening.call("subject")  # type: ignore[attr-defined]  # the mistake
    assert not hasattr(opening, "__len__")
    with pytest.raises(natsrpc.NoServersError):
        await opening


@pytest.mark.parametrize("turns", range(3))
async def test_a_task_that_is_cancelled_at_once_has_awaited_it(turns: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        task = asyncio.ensure_future(natsrpc.connect("nats://127.0.0.1:1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert "Opening" in repr(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(natsrpc.NoServersError):
            await asyncio.gather(connect("nats://127.0.0.1:1"))
        connect("nats://127.0.0.1:1").close()
        del task
        gc.collect()
    assert caught == []

"""A request waits as for a future, though what it waits for is none."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from typing import Any

import pytest

from natsrpc.core.requests.mux import RequestMux
from natsrpc.core.wire import Msg
from natsrpc.errors import ConnectionClosedError, NatsTimeoutError
from tests.core.harness import turns
from tests.core.requests.test_mux import Sender, muxed

who: ContextVar[str] = ContextVar("who", default="nobody")


async def asked(mux: RequestMux, **options: Any) -> Msg:
    return await mux.request(b"s", b"", **options)


async def sent(sender: Sender, count: int) -> None:
    """Let the tasks that ask get to their requests."""
    await turns(2)
    assert len(sender.sent) == count


def answer_all(sender: Sender) -> None:
    for _, _, reply, _ in sender.sent:
        sender.answer(reply, b"yes")


async def test_tasks_go_on_in_the_order_of_the_replies_a_turn_after_the_read() -> None:
    mux, sender = muxed()
    done: list[int] = []

    async def ask(number: int) -> None:
        await asked(mux)
        done.append(number)

    tasks = [asyncio.create_task(ask(number)) for number in range(5)]
    await sent(sender, 5)
    for number in (3, 0, 4, 1, 2):
        sender.answer(sender.sent[number][2])
    assert done == []
    await asyncio.sleep(0)
    assert done == [3, 0, 4, 1, 2]
    await asyncio.gather(*tasks)


async def test_each_task_goes_on_in_its_own_context() -> None:
    mux, sender = muxed()

    async def ask(name: str) -> str:
        who.set(name)
        await asked(mux)
        return who.get()

    tasks = [asyncio.create_task(ask(name)) for name in ("ann", "bob")]
    await sent(sender, 2)
    answer_all(sender)
    assert await asyncio.gather(*tasks) == ["ann", "bob"]
    assert who.get() == "nobody"


async def test_the_words_of_a_cancellation_arrive() -> None:
    mux, sender = muxed()
    task = asyncio.create_task(asked(mux))
    await sent(sender, 1)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert not mux.pending


async def test_a_task_cancelled_before_it_asks_does_not_wait() -> None:
    mux, sender = muxed()

    async def ask() -> Msg:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        return await asked(mux)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.create_task(ask()), 5)
    assert len(sender.sent) == 1
    assert not mux.pending


async def test_a_timeout_around_a_request_ends_it() -> None:
    mux, _ = muxed()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asked(mux)
    assert not mux.pending


async def test_errors_reach_each_of_the_requests_that_they_end() -> None:
    mux, sender = muxed()
    tasks = [asyncio.create_task(asked(mux)) for _ in range(3)]
    await sent(sender, 3)
    mux.stop(ConnectionClosedError())
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionClosedError] * 3


def test_what_ends_the_loop_in_one_task_does_not_lose_the_replies_of_the_others() -> None:
    loop = asyncio.new_event_loop()
    results: list[bytes] = []

    async def ask(mux: RequestMux, number: int) -> None:
        data = (await asked(mux)).data
        if number == 1:
            raise KeyboardInterrupt
        results.append(data)

    async def all_answered() -> None:
        mux, sender = muxed()
        tasks.extend(asyncio.create_task(ask(mux, number)) for number in range(4))
        await sent(sender, 4)
        answer_all(sender)

    tasks: list[asyncio.Task[None]] = []
    asking = loop.create_task(all_answered())
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert asking.done()
    others = asyncio.wait([tasks[0], tasks[2], tasks[3]], timeout=5)
    loop.run_until_complete(others)
    loop.close()
    assert results == [b"yes"] * 3
    assert isinstance(tasks[1].exception(), KeyboardInterrupt)


@pytest.mark.parametrize("debug", [False, True])
def test_tasks_written_in_python_wait_for_it_too(debug: bool) -> None:
    python_task = sys.modules["asyncio.tasks"]._PyTask  # noqa: SLF001

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coro, **more: python_task(coro, loop=loop, **more)
        )
        mux, sender = muxed()
        tasks = [asyncio.create_task(asked(mux)) for _ in range(3)]
        late = asyncio.create_task(asked(mux, timeout=0.001))
        assert type(late) is python_task
        await sent(sender, 4)
        tasks[1].cancel("enough")
        for task in (0, 2):
            sender.answer(sender.sent[task][2], b"yes")
        with pytest.raises(NatsTimeoutError):
            await late
        first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, Msg)
        assert isinstance(second, asyncio.CancelledError)
        assert isinstance(third, Msg)

    asyncio.run(main(), debug=debug)


async def test_it_counts_as_a_future() -> None:
    mux, _ = muxed()
    reply = mux.begin(b"s", b"", b"", None)
    assert asyncio.isfuture(reply)
    assert "Reply" in repr(reply)
    mux.abandon(reply)

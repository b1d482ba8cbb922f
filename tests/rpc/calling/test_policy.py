"""Policies: only what is safe is sent again, within the timeout and the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from natsrpc.core import Msg
from natsrpc.errors import (
    ConfigError,
    DeadlineExceededError,
    InternalError,
    NatsTimeoutError,
    NoRespondersError,
    OverloadedError,
    RpcError,
    UnavailableError,
    UpstreamError,
)
from natsrpc.rpc import Call, Client, Next, Policy, Service, connect
from natsrpc.rpc.calling.policy import BUDGET, Attempts
from natsrpc.testing import NatsServer
from tests.core.harness import ScriptedServer, eventually
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path

QUICK = Policy(attempts=3, wait=0.001)


class BusyError(RpcError, code=503, retryable=True):
    """Come again."""


def failing(
    *errors: Exception | float,
) -> tuple[list[int], Callable[[float | None], Awaitable[Any]]]:
    """An attempt that fails with these, one after the other, then gives "done"; and its count."""
    made: list[int] = []

    async def attempt(timeout: float | None) -> str:
        made.append(len(made))
        if len(made) > len(errors):
            return "done"
        failure = errors[len(made) - 1]
        if isinstance(failure, float):
            number = len(made)
            await asyncio.sleep(failure)  # why: an attempt that takes so long
            return f"slow {number}"
        raise failure

    return made, attempt


def relayed(error: RpcError) -> RpcError:
    """An error that the handler called got from a call of its own."""
    error.relayed = True
    return error


def upstream(code: int) -> RpcError:
    return relayed(UpstreamError("a call failed", details={"subject": "inner", "code": code}))


@pytest.mark.parametrize(
    ("error", "always", "idempotent"),
    [
        (relayed(OverloadedError()), False, True),
        (relayed(BusyError()), False, True),
        (relayed(UnavailableError()), False, True),
        (relayed(RpcError("own", code=429)), False, False),
        (upstream(429), False, True),
        (upstream(503), False, True),
        (upstream(500), False, False),
        (upstream(504), False, False),
        (UpstreamError("on purpose", details=["odd"]), False, False),
        (NoRespondersError("x"), True, True),
        (OverloadedError(), True, True),
        (BusyError(), True, True),
        (UnavailableError(), False, True),
        (NatsTimeoutError("lost"), False, True),
        (DeadlineExceededError(), False, False),
        (InternalError(), False, False),
        (RpcError("own", code=409), False, False),
        (ValueError(), False, False),
    ],
)
async def test_what_is_safe_to_send_again(
    client: Client, error: Exception, always: bool, idempotent: bool
) -> None:
    for marked, expected in ((False, always), (True, idempotent)):
        made, attempt = failing(error)
        attempts = Attempts(client.connection)
        run = attempts.run(QUICK, attempt, timeout=5, idempotent=marked)
        if expected:
            assert await run == "done"
            assert len(made) == 2
        else:
            with pytest.raises(type(error)):
                await run
            assert len(made) == 1
        attempts.stop()


async def test_errors_named_by_the_caller_are_retried(client: Client) -> None:
    made, attempt = failing(KeyError("x"))
    policy = Policy(wait=0, retry_on=(KeyError,))
    attempts = Attempts(client.connection)
    assert await attempts.run(policy, attempt, timeout=None, idempotent=False) == "done"
    assert len(made) == 2


@pytest.mark.parametrize(
    ("error", "named"),
    [(relayed(OverloadedError()), OverloadedError), (upstream(500), UpstreamError)],
)
async def test_relayed_errors_are_retried_where_the_caller_names_them(
    client: Client, error: RpcError, named: type[RpcError]
) -> None:
    made, attempt = failing(error)
    policy = Policy(wait=0, retry_on=(named,))
    attempts = Attempts(client.connection)
    assert await attempts.run(policy, attempt, timeout=None, idempotent=False) == "done"
    assert len(made) == 2


async def test_attempts_that_take_too_long_name_what_was_called(client: Client) -> None:
    _, attempt = failing(OverloadedError())
    attempts = Attempts(client.connection)
    with pytest.raises(NatsTimeoutError, match="0 attempts") as caught:
        await attempts.run(QUICK, attempt, subject=b"slow", timeout=0, idempotent=False)
    assert caught.value.subject == "slow"


async def test_attempts_are_counted(client: Client) -> None:
    made, attempt = failing(*[OverloadedError() for _ in range(9)])
    with pytest.raises(OverloadedError):
        await Attempts(client.connection).run(QUICK, attempt, timeout=5, idempotent=False)
    assert len(made) == 3


async def test_no_retry_outlives_the_timeout(client: Client) -> None:
    made, attempt = failing(*[OverloadedError() for _ in range(9)])
    policy = Policy(attempts=9, wait=0.05, max_wait=0.05)
    with pytest.raises(OverloadedError):
        await Attempts(client.connection).run(policy, attempt, timeout=0.12, idempotent=False)
    assert 2 <= len(made) <= 5


async def test_a_pause_that_ends_too_late_hides_no_error() -> None:
    """On a busy machine a pause lasts longer than it should."""
    times = iter([0.0, 0.0, 0.0, 1.0])
    link = SimpleNamespace(loop=SimpleNamespace(time=lambda: next(times)))
    connection: Any = SimpleNamespace(link=link)
    _, attempt = failing(OverloadedError("full"), OverloadedError("not asked"))
    policy = Policy(attempts=2, wait=0.001)
    with pytest.raises(OverloadedError, match="full"):
        await Attempts(connection).run(policy, attempt, timeout=0.5, idempotent=False)


async def test_the_budget_bounds_retries_over_all_calls(client: Client) -> None:
    attempts = Attempts(client.connection)
    total = 0
    for _ in range(100):
        made, attempt = failing(*[OverloadedError() for _ in range(9)])
        with pytest.raises(OverloadedError):
            await attempts.run(Policy(attempts=5, wait=0), attempt, timeout=None, idempotent=False)
        total += len(made)
    assert total <= 100 + BUDGET + 100 * 0.1 + 1


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    policy = Policy(wait=0.1, max_wait=1.0)
    assert [policy.pause(n, 1.0) for n in (1, 2, 3, 4, 5, 99)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert policy.pause(1, 0.0) == 0.05


@pytest.mark.parametrize(
    "arguments",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"wait": -1},
        {"max_wait": float("inf")},
        {"hedge_after": float("nan")},
        {"wait": None},
        {"wait": "1"},
        {"retry_on": OSError},
        {"retry_on": ("OSError",)},
    ],
)
def test_what_a_policy_may_not_be(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Policy(**arguments)


async def test_a_call_waits_for_a_service_that_is_just_starting(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("starting", version="1.0.0")

    @service.handler(unique)
    async def answer() -> str:
        return "here"

    call = asyncio.ensure_future(client.call(answer, policy=Policy(attempts=10, wait=0.02)))
    await eventually(lambda: client.connection.stats().out_msgs > 1)  # it was refused, and asks on
    async with other.serve(service):
        assert await call == "here"
    with pytest.raises(NoRespondersError):
        await client.call(answer)
    client.policy = QUICK
    with pytest.raises(NoRespondersError):
        await client.call(answer)


async def test_a_lost_worker_is_replaced_only_for_idempotent_calls(
    client: Client, unique: str
) -> None:
    """The first request is swallowed; the second one is answered."""
    seen: list[Msg] = []

    async def answer(msg: Msg) -> None:
        seen.append(msg)
        if len(seen) % 2 == 0:
            await msg.respond(b'"here"')

    await client.connection.subscribe(unique, cb=answer)
    policy = Policy(attempts=2, wait=0, attempt_timeout=0.05)
    with pytest.raises(NatsTimeoutError):
        await client.call(unique, policy=policy)
    seen.clear()
    policy = Policy(attempts=2, wait=0, attempt_timeout=0.05, idempotent=True)
    assert await client.call(unique, policy=policy) == "here"
    assert len(seen) == 2


async def test_hedging_takes_the_quicker_and_cancels_the_other(
    client: Client, other: Client, unique: str
) -> None:
    runs: list[str] = []
    service = Service("hedged", version="1.0.0")

    @service.handler(unique, idempotent=True)
    async def sometimes_slow() -> int:
        number = len(runs)
        runs.append("started")
        try:
            if number == 0:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            runs[number] = "cancelled"
            raise
        return number

    async with other.serve(service) as server:
        assert await client.call(sometimes_slow, policy=Policy(hedge_after=0.05)) == 1
        await eventually(lambda: server.inflight == 0)
        assert runs == ["cancelled", "started"]


async def test_hedging_gives_the_last_error_if_all_fail(client: Client) -> None:
    made, attempt = failing(BusyError("first"), ValueError("second"))
    policy = Policy(attempts=1, hedge_after=0.01)
    with pytest.raises(BusyError):
        await Attempts(client.connection).run(policy, attempt, timeout=1, idempotent=True)
    assert len(made) == 1
    made, attempt = failing(0.05, BusyError("second"))
    assert (
        await Attempts(client.connection).run(policy, attempt, timeout=1, idempotent=True)
        == "slow 1"
    )
    assert len(made) == 2


async def test_an_idempotent_call_is_sent_again_after_a_reconnect(
    fresh_server: NatsServer, unique: str
) -> None:
    seen: list[int] = []
    service = Service("again", version="1.0.0")

    @service.handler(unique, idempotent=True)
    async def answer(n: int) -> int:
        seen.append(n)
        if len(seen) == 1:
            await asyncio.Event().wait()
        return n

    options: dict[str, Any] = {
        "reconnect_wait": 0.02,
        "reconnect_jitter": 0.0,
        "max_reconnect_attempts": -1,
    }
    async with (
        connect(fresh_server.url, **options) as worker,
        connect(fresh_server.url, **options) as client,
    ):
        await worker.serve(service)
        call = asyncio.ensure_future(
            client.call(answer, 1, timeout=20, policy=Policy(attempts=20, wait=0.02))
        )
        await eventually(lambda: seen == [1])
        fresh_server.kill()
        fresh_server.restart()
        assert await asyncio.wait_for(call, 10) == 1
        assert len(seen) >= 2


@pytest.mark.parametrize("hedge_after", [None, 0.0, 5.0])
@pytest.mark.parametrize("lost", [False, True])
async def test_an_idempotent_call_is_sent_again_only_if_the_old_session_may_have_lost_it(
    lost: bool, hedge_after: float | None
) -> None:
    """A server in lame duck mode still brings the reply; one that is lost in the middle may not."""
    async with (
        ScriptedServer() as first,
        ScriptedServer() as second,
        connect(first.url, reconnect_wait=0.01, reconnect_jitter=0.0) as client,
    ):
        old = await first.accept()
        again = Policy(attempts=1, idempotent=True, hedge_after=hedge_after)
        sent = 2 if hedge_after == 0 else 1
        call = asyncio.ensure_future(client.call("pay", 1, int, timeout=10, policy=again))
        asked = await old.expect(b"HPUB pay")
        inbox = next(frame.sid for frame in old.frames if b"SUB _INBOX" in frame.raw)
        old.auto_pong = not lost  # until it answers it has not treated all that was sent
        old.info(ldm=True, connect_urls=[second.address])
        new = await second.accept()
        if lost:
            old.reset()
            assert (await new.expect(b"HPUB pay")).reply != asked.reply
        else:
            await eventually(lambda: client.connection.stats().reconnects == 1)
            old.msg(asked.reply, inbox, b"7")
            assert await call == 7
            assert (old.ops().count(b"HPUB"), new.ops().count(b"HPUB")) == (sent, 0)
        call.cancel()


async def test_middleware_sees_the_policy_and_the_proxy_uses_the_clients(
    client: Client, unique: str
) -> None:
    seen: list[Policy | None] = []

    @client.middleware
    async def look(call: Call, call_next: Next[Call]) -> Any:
        seen.append(call.policy)
        return await call_next(call)

    with pytest.raises(NoRespondersError):
        await client.call(unique, policy=QUICK)
    assert seen == [QUICK]

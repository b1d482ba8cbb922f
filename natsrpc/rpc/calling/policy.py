"""Policies for calls that fail: retries, hedges, and sending again after a reconnect.

Only what is safe is repeated. A request that nobody took (no responders) or that was refused unrun
(overloaded) may always be sent again, and so may one that failed with an error class declared
`retryable`. Whatever may have run is repeated only for calls that are idempotent. That includes
errors that the handler only relayed: what a call of its own was refused says nothing of what the
handler had done before. All of it happens within the call's own timeout, and a budget keeps retries
a fraction of all calls: when a service is down for everybody, its callers do not multiply the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from natsrpc.core import Connection, ConnectionEvent, Reconnected
from natsrpc.errors import (
    ConfigError,
    DeadlineExceededError,
    NatsTimeoutError,
    NoRespondersError,
    OverloadedError,
    RpcError,
    UnavailableError,
    UpstreamError,
)

Attempt = Callable[[float | None], Awaitable[Any]]
"""One attempt at a call, within so many seconds."""


class Observe(Protocol):
    """Has the attempts at one call seen; see `CallObserver.attempts`."""

    def __call__(self, attempt: Attempt, *, is_once: bool) -> Attempt: ...


_REFUSALS = (OverloadedError.default_code, UnavailableError.default_code)

BUDGET = 10.0
"""Retries that a client has in reserve, at its start and at most."""

BUDGET_PER_CALL = 0.1
"""Retries that each call adds to the budget, up to `BUDGET`: one for ten calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules by which a failed call is repeated.

    Given to one call, to all calls of a client (`client.policy = ...`), or to those made in a
    `with policy.scope():` block. The closest one counts.

    Args:
        attempts: how often it is sent at most.
        wait: seconds before the second attempt; doubled for each further one, with jitter.
        max_wait: the longest such pause.
        attempt_timeout: seconds for one attempt; the call's whole timeout if not given.
        idempotent: whether it may run twice; if not given, what the handler's contract says. A call
            that may is also sent again after a reconnect, without any policy.
        hedge_after: seconds after which an idempotent call is sent a second time, to be answered
            by whichever is quicker; the other one is cancelled.
        retry_on: further errors to retry on, also where they were relayed.

    Raises:
        ConfigError: a value is out of range.
    """

    attempts: int = 3
    wait: float = 0.05
    max_wait: float = 1.0
    attempt_timeout: float | None = None
    idempotent: bool | None = None
    hedge_after: float | None = None
    retry_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise ConfigError(f"attempts is {self.attempts!r}: expected a whole number")
        if self.attempts < 1:
            raise ConfigError(f"attempts is {self.attempts!r}: expected 1 or more")
        for name in ("wait", "max_wait", "attempt_timeout", "hedge_after"):
            value = getattr(self, name)
            if value is None and name in ("attempt_timeout", "hedge_after"):
                continue
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ConfigError(f"{name} is {value!r}: expected seconds, 0 or more")
        classes = self.retry_on if isinstance(self.retry_on, tuple) else ("",)
        if not all(isinstance(each, type) and issubclass(each, Exception) for each in classes):
            raise ConfigError(
                f"retry_on is {self.retry_on!r}: expected a tuple of exception classes"
            )

    def is_safe(self, error: Exception, *, idempotent: bool) -> bool:
        """Whether a call that failed with `error` may be sent again."""
        if isinstance(error, (NoRespondersError, *self.retry_on)):
            return True
        if isinstance(error, RpcError):
            refused = isinstance(error, OverloadedError) or error.retryable
            if refused and not error.relayed:
                return True
            if refused or _is_refusal_upstream(error):
                return idempotent
        if not idempotent or isinstance(error, DeadlineExceededError):
            return False
        return isinstance(error, (UnavailableError, NatsTimeoutError))

    def pause(self, attempt: int, chance: float) -> float:
        """Seconds to wait after attempt number `attempt`; `chance` is between 0 and 1."""
        full = min(self.max_wait, self.wait * 2.0 ** min(attempt - 1, 30))
        return full * (0.5 + chance / 2)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Calls made inside have this policy, unless they name one of their own."""
        token = _innermost.set(self)
        try:
            yield
        finally:
            _innermost.reset(token)


_innermost: ContextVar[Policy | None] = ContextVar("natsrpc_policy", default=None)

scoped: Callable[[], Policy | None] = _innermost.get
"""The policy of the innermost scope; None outside of any."""

ONCE = Policy(attempts=1)
"""For idempotent calls without a policy: sent again after a reconnect, and nothing else."""


class _SentAgainError(Exception):
    """The attempt was given up because the connection it was sent on is gone."""


class Attempts:
    """Carries out policies for the calls of one client; `default` is the client's own,
    `observe` has the attempts seen."""

    def __init__(self, connection: Connection) -> None:
        self.default: Policy | None = None
        self.observe: Observe | None = None
        self._link = connection.link
        self._budget = BUDGET
        self._resendable: set[asyncio.Future[Any]] = set()
        self._resent: set[asyncio.Future[Any]] = set()
        self._listens = False

    def chosen(self, policy: Policy | None) -> Policy | None:
        """The policy of a call: its own, else that of the scope around it, else the client's."""
        return policy or scoped() or self.default

    async def run(
        self,
        policy: Policy,
        attempt: Attempt,
        *,
        subject: bytes = b"",
        timeout: float | None,
        idempotent: bool,
    ) -> Any:
        """Call until it succeeds, or until what it fails with is to be raised.

        Args:
            policy: the policy in force.
            attempt: makes one attempt.
            subject: what is called.
            timeout: seconds for all attempts together.
            idempotent: whether the call may run twice, where the policy does not say.
        """
        time = self._link.loop.time
        if policy.idempotent is not None:
            idempotent = policy.idempotent
        if self.observe is not None:
            attempt = self.observe(attempt, is_once=policy is ONCE)
        deadline = None if timeout is None else time() + timeout
        self._budget = min(BUDGET, self._budget + BUDGET_PER_CALL)
        tries = sent = 0
        while True:
            left = None if deadline is None else deadline - time()
            if left is not None and left <= 0:
                text = f"no answer in {sent} attempts within {timeout:g} s"
                raise NatsTimeoutError(text, subject=subject.decode())
            tries += 1
            sent += 1
            try:
                return await self._once(policy, attempt, _shorter(left, policy), idempotent)
            except _SentAgainError:
                tries -= 1
                continue
            except Exception as error:
                if tries >= policy.attempts or not policy.is_safe(error, idempotent=idempotent):
                    raise
                pause = policy.pause(tries, random.random())  # noqa: S311  jitter
                if (deadline is not None and time() + pause >= deadline) or not self._spend():
                    raise
                await asyncio.sleep(pause)
                if deadline is not None and time() >= deadline:  # the loop was busy
                    raise

    def _spend(self) -> bool:
        """Take a retry out of the budget; false if there is none left."""
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    async def _once(
        self, policy: Policy, attempt: Attempt, timeout: float | None, idempotent: bool
    ) -> Any:
        if not idempotent:
            return await attempt(timeout)
        after = policy.hedge_after
        if after is not None:
            attempt = functools.partial(self._hedged, after, attempt)
        return await self._resending(attempt, timeout)

    async def _resending(self, attempt: Attempt, timeout: float | None) -> Any:
        """One attempt that is given up when the connection it was sent on is gone."""
        if not self._listens:
            self._listens = True
            self._link.add_listener(self._hear)
        task = asyncio.ensure_future(attempt(timeout))
        self._resendable.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task in self._resent:
                raise _SentAgainError from None
            raise
        finally:
            self._resendable.discard(task)
            self._resent.discard(task)

    def _hear(self, event: ConnectionEvent) -> None:
        """Give up what was sent on a connection that was lost; its callers send it again.

        A handover loses nothing: what runs would only be cancelled, and run a second time.
        """
        if isinstance(event, Reconnected) and not event.is_handover:
            for task in self._resendable:
                self._resent.add(task)
                task.cancel()

    async def _hedged(self, after: float, attempt: Attempt, timeout: float | None) -> Any:
        """The quicker one of two attempts, the second sent only if the first is slow."""
        first = asyncio.ensure_future(attempt(timeout))
        everyone = {first}
        try:
            waiting = {first}
            done, waiting = await asyncio.wait(waiting, timeout=after)
            if not done and self._spend():
                left = None if timeout is None else max(0.001, timeout - after)
                second = asyncio.ensure_future(attempt(left))
                everyone.add(second)
                waiting.add(second)
            while waiting and not any(task.exception() is None for task in done):
                done, waiting = await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
            best = next((task for task in done if task.exception() is None), next(iter(done)))
            return best.result()
        finally:
            for task in everyone:
                task.cancel()
            await asyncio.gather(*everyone, return_exceptions=True)

    def stop(self) -> None:
        """Hear no more of the connection."""
        self._link.remove_listener(self._hear)
        self._listens = False


def _is_refusal_upstream(error: RpcError) -> bool:
    """Whether a call that the handler made was refused, so that all may be well the next time."""
    details = error.details if isinstance(error, UpstreamError) else None
    return isinstance(details, dict) and details.get("code") in _REFUSALS


def _shorter(left: float | None, policy: Policy) -> float | None:
    """The time for one attempt."""
    if left is None or policy.attempt_timeout is None:
        return policy.attempt_timeout if left is None else left
    return min(left, policy.attempt_timeout)

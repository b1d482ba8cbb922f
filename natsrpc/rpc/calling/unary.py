"""Calls that one message answers: the general path, and what a policy adds to it.

`Client.call` holds a copy of `Unary.attempt` for the calls that need nothing else: one coroutine
less is 0.3 us of 20. `tests/rpc/calling/test_copies.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from natsrpc.core import Connection, Headers, Msg, Reply
from natsrpc.errors import DecodeError, MaxPayloadError, NatsTimeoutError

from .binding import Binder
from .bound import BoundCall
from .call import Call
from .observing import GivenHeaders
from .outgoing import Outgoing
from .policy import ONCE, Attempts, Policy

ONE_TOKEN = (
    "or nobody there takes requests larger than the server's max_payload; a large request goes to "  # noqa: S105  a hint about subjects
    "'{subject}._NATSRPC.large': where an export, an import, a mapping or a permission says `*` "
    "for the last token, write `>`"
)
"""The other cause of a large request that nobody takes."""


class Unary:
    """The part of a client that makes calls which one message answers."""

    def __init__(self, connection: Connection, binder: Binder, attempts: Attempts) -> None:
        self._connection = connection
        self._binder = binder
        self._attempts = attempts
        old_style = connection.options.old_style_requests
        self.headers: Callable[[GivenHeaders], GivenHeaders] | None = None
        self._request = self._request_alone if old_style else connection.link.requests.request

    def perform(self, call: Call) -> Awaitable[Any]:
        """Make a call as its `Call` says, after any middleware."""
        bound = self._binder.find(call)
        options = call.timeout, call.headers
        if bound.idempotent or self._attempts.chosen(call.policy) is not None:
            return self.attempt_by(call.policy, bound, call.request, *options)
        return self.attempt(bound, call.request, *options)

    async def attempt_by(
        self,
        policy: Policy | None,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        """Make a call, repeated as the policy in force says: its own, the scope's, the client's."""

        def attempt(seconds: float | None) -> Awaitable[Any]:
            given = headers if self.headers is None else self.headers(headers)
            return self.attempt(bound, request, seconds, given)

        return await self._attempts.run(
            self._attempts.chosen(policy) or ONCE,
            attempt,
            subject=bound.subject,
            timeout=timeout,
            idempotent=bound.idempotent,
        )

    async def attempt(
        self,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        """Send a call once, and wait for its answer."""
        data, block, wait = bound.prepare(request, timeout, headers)
        try:
            msg = await self._request(bound.subject, data, block, wait, bound.abandoned)
        except MaxPayloadError as error:
            return await self.send_large(bound, data, block, wait, error)
        except NatsTimeoutError as error:
            raise bound.late(error, wait) from None
        if msg.raw_headers:
            return await bound.receive(msg, wait)
        try:
            return bound.decode(msg.data)
        except DecodeError as error:
            raise bound.misfit(error, msg.data) from None

    async def send_large(
        self,
        bound: BoundCall,
        data: bytes,
        block: bytes,
        wait: float | None,
        refused: MaxPayloadError,
    ) -> Any:
        """Send a request that does not fit one message in frames, if its service takes it so.

        Raises:
            NoRespondersError: nobody serves it, or nobody takes its frames.
        """
        hint = ONE_TOKEN.format(subject=bound.subject.decode())
        outgoing = Outgoing(self._connection, bound, timeout=wait, idle_timeout=None, hint=hint)
        outgoing.open_large(data, block)
        return await outgoing.answer()

    async def _request_alone(
        self,
        subject: bytes,
        data: bytes,
        block: bytes,
        wait: float | None,
        abandoned: Callable[[Reply, BaseException], None],
    ) -> Msg:
        """A request with an inbox of its own, on a connection with `old_style_requests`."""
        headers = Headers.decode(block)
        return await self._connection.request(subject.decode(), data, timeout=wait, headers=headers)

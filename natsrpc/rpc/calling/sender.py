"""What every way to call has in common: the connection, the types bound, the policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, Headers, Msg

from ..contract import Middleware, Next
from ..headers import inherited
from ..streams import MAX_BODY, is_head, take_reply
from .binding import NOTHING, Binder
from .bound import GRACE, BoundCall, Call
from .policy import Attempts, Policy, scoped


class Sender:
    """The part of a client that all its calls share."""

    def __init__(
        self,
        connection: Connection,
        *,
        codec: str | codecs.Codec = "json",
        max_body: int = MAX_BODY,
    ) -> None:
        self.connection = connection
        self.codec = codecs.get(codec)
        self._binder = Binder(connection, self.codec, max_body)
        self._bound = self._binder.calls
        old_style = connection.options.old_style_requests
        self._request = self._request_alone if old_style else connection.mux.request
        # the steps of `mux.request`, for the calls that cannot afford one more coroutine (0.3 us)
        self._begin = None if old_style else connection.mux.begin
        self._time = connection.loop.time
        self._middleware: list[Middleware[Call]] = []
        self._call: Next[Call] | None = None
        self._attempts = Attempts(connection)
        self.policy: Policy | None = None

    def _prepare(
        self,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[bytes, bytes, float | None]:
        """The body and header block to send, and how long to wait; as `call` does in place."""
        data = bound.encode(None if request is NOTHING else request)
        outer = inherited.get()
        if outer is None:
            block, wait = bound.block(timeout)
        else:
            block, wait = bound.inherited(timeout, outer, self._time())
        return data, bound.with_headers(block, headers), wait

    async def _read(self, bound: BoundCall, msg: Msg, wait: float | None) -> Any:
        """The value of a reply with headers, or its error; all of it, within `wait` seconds, if it
        is large."""
        if is_head(msg.raw_headers):
            msg = await take_reply(self.connection, msg, bound.max_body, bound.error, GRACE, wait)
        return bound.read(msg)

    def _chosen(self, policy: Policy | None) -> Policy | None:
        """The policy of a call: its own, else that of the scope around it, else the client's."""
        return policy or scoped() or self.policy

    def _find(self, call: Call, *, streams: bool = False) -> BoundCall:
        """The bound call for what a call names."""
        return self._binder.find(
            call.target,
            call.request,
            call.returns,
            call.codec,
            call.tokens,
            streams=streams,
            errors=call.errors,
        )

    async def _request_alone(
        self,
        subject: bytes,
        data: bytes,
        block: bytes,
        wait: float | None,
        abandoned: Callable[[bytes], None],
    ) -> Msg:
        """A request with an inbox of its own, on a connection that was opened so."""
        headers = Headers.decode(block)
        return await self.connection.request(subject.decode(), data, timeout=wait, headers=headers)

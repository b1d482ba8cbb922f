"""Calls that one message answers: a body, or a stream of items, in; a body out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from natsrpc.core import Headers
from natsrpc.errors import ContractError, DecodeError
from natsrpc.rpc import Client, Reply

from .bodies import SMALL, Account, Bodies
from .exchange import Exchange, encoded
from .passing import JSON, MSGPACK, RAW, json_of
from .requests import items_of, query_of, request_of
from .routes import Route
from .settings import Settings

__all__ = ["Calls", "Terms", "passed_on"]

_OURS = frozenset((JSON, MSGPACK, RAW))
_type = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(; ?charset=[A-Za-z0-9_-]{1,40})?"
).fullmatch


class Terms:
    """What a call carries beside its body: `timeout` is what the client named, None if nothing."""

    __slots__ = ("headers", "timeout", "tokens")

    def __init__(
        self, timeout: float | None, headers: dict[str, str], tokens: Mapping[str, str] | None
    ) -> None:
        self.timeout: float | None = timeout
        self.headers: dict[str, str] = headers
        self.tokens: Mapping[str, str] | None = tokens


class Calls:
    """Makes the calls of a gateway that one message answers."""

    def __init__(
        self, client: Client, settings: Settings, bodies: Bodies, account: Account
    ) -> None:
        self._client = client
        self._settings = settings
        self._bodies = bodies
        self._account = account

    async def call(self, exchange: Exchange, route: Route, terms: Terms) -> None:
        """Call an endpoint with the body of a request, and respond with its answer.

        Raises:
            Problem: the request does not fit.
            RpcError, NatsError: as `Client.request`.
        """
        body = await request_of(exchange, route, self._bodies)
        timeout = terms.timeout
        if timeout is None:
            timeout = self._settings.timeout
        elif exchange.attendant.is_slow:  # what is left of it
            timeout = max(timeout - exchange.attendant.elapsed(), 0.001)
        exchange.attendant.received()
        contract, tokens = route.aim(terms.tokens)
        reply: Reply[bytes] = await self._client.request(
            contract,
            body,
            timeout=timeout,
            headers=terms.headers,
            codec=route.codec,
            tokens=tokens,
        )
        exchange.attendant.end()
        await self._respond(exchange, route, reply.value, reply.headers)

    async def upload(self, exchange: Exchange, route: Route, terms: Terms) -> None:
        """Pass the items of a request on to an endpoint as they come, and respond with its answer.

        Raises:
            Problem: the request does not fit.
            RpcError, NatsError: as `Client.upload`.
        """
        items = items_of(exchange, route, self._bodies)
        contract, tokens = route.aim(terms.tokens)
        answer: bytes = await self._client.upload(
            contract,
            passed_on(exchange, items),
            query_of(exchange, route),
            timeout=terms.timeout,
            headers=terms.headers,
            codec=route.codec,
            tokens=tokens,
        )
        exchange.attendant.end()
        await self._respond(exchange, route, answer, None)

    async def _respond(
        self, exchange: Exchange, route: Route, body: bytes, headers: Headers | None
    ) -> None:
        if len(body) > SMALL:
            self._account.take(exchange, len(body))
        type_ = RAW if route.gives_raw else JSON
        more: list[tuple[bytes, bytes]] = []
        if headers:
            given = headers.get("Content-Type", "")
            if route.gives_raw and given not in _OURS and _type(given):
                type_ = given
            elif not route.gives_raw and given == MSGPACK and route.codec.name != "msgpack":
                body = _read(body, route)
            more = encoded(self._settings.response_headers.within(headers))
        status = 200 if body or route.gives_raw else 204
        await exchange.respond(body, type_, status=status, headers=more)


def _read(body: bytes, route: Route) -> bytes:
    try:
        return json_of(body)
    except DecodeError as error:
        subject = route.contract.template
        raise ContractError(f"the reply does not fit: {error}", subject=subject) from None


def passed_on(exchange: Exchange, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The items of a request, whose attendant watches the client once they are all here."""
    exchange.attendant.passes_on()

    async def each() -> AsyncIterator[bytes]:
        async for item in items:
            yield item
        exchange.attendant.received()

    return each()

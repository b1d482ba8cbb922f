"""`Gateway`: the services on a NATS connection as JSON over HTTP, an ASGI app.

It is served by itself (`natsrpc gateway`), or mounted in FastAPI or Starlette. What it serves is
what the services say they serve, as a `Catalog` finds them.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from natsrpc.core import Opening
from natsrpc.errors import ConfigError
from natsrpc.rpc import Client, Service

from .exchange import Exchange
from .problems import Problem
from .settings import Authorize, Settings
from .site import Site
from .terms import IN, OUT, HeaderList

__all__ = ["Gateway"]

MAX_BODY = 8 * 1024 * 1024


class Gateway:
    """The services of a client's connection as JSON over HTTP, an ASGI app.

    Args:
        client: calls the services. One that is not open yet, as `natsrpc.connect(...)` gives it, is
            opened and closed by `lifespan`.
        services: the names of the services to serve, or the services themselves; all that are found
            if not given.
        timeout: seconds that a call may take whose request names no time.
        max_timeout: the most that a request may name, by `Request-Timeout`.
        body_timeout: seconds in which the body of a request must come; of one whose items are
            passed on as they come, seconds between two pieces of it.
        heartbeat: seconds after which a stream of events that is quiet gets a comment.
        max_body: bytes of a request's body, or of one item of it.
        max_held: bytes of all bodies, of requests and of answers, that are held at one time.
        max_requests: requests that are served at one time; one more gets 503.
        max_streams: those of them that may be streams or uploads.
        request_headers: the names of headers that cross to a service.
        response_headers: the names of headers that cross back.
        cors: the origins whose pages may call, as in "https://shop.example"; "*" for all.
        hosts: the hosts that requests may name, without a port, as in "api.example"; any if not
            given. A gateway that is for its own machine alone is to have some: else a page of a
            browser there can have its own name lead here, and call as if it were ours.
        authorize: an auth hook, see `Authorize`.
        refresh: seconds after which a request has the services looked for again.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        client: Client | Opening[Client],
        services: Iterable[str | Service] | None = None,
        *,
        timeout: float = 5.0,
        max_timeout: float = 60.0,
        body_timeout: float = 30.0,
        heartbeat: float = 15.0,
        max_body: int = MAX_BODY,
        max_held: int = 16 * MAX_BODY,
        max_requests: int = 1_000,
        max_streams: int = 250,
        request_headers: Iterable[str] = IN,
        response_headers: Iterable[str] = OUT,
        cors: Iterable[str] = (),
        hosts: Iterable[str] = (),
        authorize: Authorize | None = None,
        refresh: float = 10.0,
    ) -> None:
        self._client = client
        self._names = _names(services)
        self._site: Site | None = None
        self._settings = Settings(
            timeout=timeout,
            max_timeout=max_timeout,
            body_timeout=body_timeout,
            heartbeat=heartbeat,
            refresh=refresh,
            max_body=max_body,
            max_held=max_held,
            max_requests=max_requests,
            max_streams=max_streams,
            request_headers=HeaderList("request_headers", request_headers),
            response_headers=HeaderList("response_headers", response_headers),
            origins=_origins(cors),
            hosts=frozenset(
                host.lower() for host in ((hosts,) if isinstance(hosts, str) else hosts)
            ),
            authorize=_hook(authorize),
        )
        self._app: ASGIApp = self._serve
        if self._settings.origins:
            self._app = self._with_cors()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope of ASGI: a request, or the life of the app."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:  # a WebSocket, which nothing is served by
            await send({"type": "websocket.close", "code": 1000})

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Open the client, if it is not open, and look for the services; close all on leaving.

        Apps in which the gateway is mounted enter it, for they do not tell it of their life:
        `FastAPI(lifespan=gateway.lifespan)`, or `async with gateway.lifespan():` in one's own.

        Raises:
            NoServersError, AuthorizationError: as `natsrpc.connect`.
        """
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(self._client, Client):
                self._site = self._make(self._client)
            else:
                self._site = self._make(await stack.enter_async_context(self._client))
            self._site.catalog.touch()
            try:
                yield
            finally:
                site, self._site = self._site, None
                await site.close()

    async def close(self) -> None:
        """End what is under way of the gateway's own: a look for services. For a gateway that was
        given an open client, and has no `lifespan`; the client stays open."""
        if self._site is not None:
            await self._site.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        site = self._site
        if site is None:
            if not isinstance(self._client, Client):
                text = "the gateway has not begun: enter its lifespan"
                await exchange.refuse(Problem(503, text))
                return
            site = self._site = self._make(self._client)
        await site.serve(exchange)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin and end with the server that this is the app of."""
        await receive()
        begun = False
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                begun = True
                await receive()
        except Exception as error:
            what = "shutdown" if begun else "startup"
            await send({"type": f"lifespan.{what}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    def _make(self, client: Client) -> Site:
        return Site(client, self._names, self._settings)

    def _with_cors(self) -> ASGIApp:
        settings = self._settings
        return CORSMiddleware(
            self._serve,
            allow_origins=settings.origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Request-Timeout",
                "X-Request-Id",
                "X-Request-Timeout",
                *settings.request_headers.names,
            ),
            expose_headers=("X-Request-Id", *settings.response_headers.names),
        )


def _names(services: Iterable[str | Service] | None) -> tuple[str, ...]:
    if services is None:
        return ()
    if isinstance(services, str):
        services = (services,)
    names = tuple(each if isinstance(each, str) else each.name for each in services)
    if not names:
        raise ConfigError("services is empty: expected names of services, or None for all")
    return names


def _origins(cors: Iterable[str]) -> tuple[str, ...]:
    origins = (cors,) if isinstance(cors, str) else tuple(cors)
    for origin in origins:
        scheme, colon, rest = origin.partition("://")
        if origin != "*" and (scheme not in ("http", "https") or not colon or "/" in rest):
            raise ConfigError(f"cors: {origin!r} is no origin, as in 'https://shop.example'")
    return origins


def _hook(authorize: Authorize | None) -> Authorize | None:
    found = getattr(authorize, "__call__", None)  # noqa: B004  an object may have it async
    if authorize is None or any(map(inspect.iscoroutinefunction, (authorize, found))):
        return authorize
    raise ConfigError("authorize: expected an `async def` function")

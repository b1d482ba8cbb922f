"""`Site`: what a gateway has once its client is open: the services, the documents, the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import HTTPConnection

from natsrpc.errors import EncodeError, NoRespondersError, RpcError
from natsrpc.rpc import Client

from .attendant import Attendant, Attention
from .bodies import Account, Bodies, LeftError, late
from .calls import Calls, Terms
from .catalog import Catalog
from .description import describe_paths, describe_services
from .documents import Document, Figures
from .exchange import Exchange, StalledError
from .files import OPEN, serve_open
from .problems import Problem, problem_of
from .routes import Route, Target
from .settings import Settings
from .streaming import Streams
from .terms import asked_timeout, check_crossing, check_host, check_site, check_size

__all__ = ["Site"]

Page = Callable[[Exchange], Awaitable[None]]

_RETRY = {"retry-after": "1"}
_READS = ("GET", "HEAD")


class Site:
    """Answers the requests of one gateway.

    Args:
        client: calls the services.
        names: the services that are served; all if there are none.
        settings: the gateway's options.
    """

    def __init__(self, client: Client, names: tuple[str, ...], settings: Settings) -> None:
        connection = client.connection
        self._settings = settings
        self._attention = Attention(settings.body_timeout, connection.link.loop)
        self._account = Account(settings.max_held)
        bodies = Bodies(settings.max_body, self._account, settings.body_timeout)
        self._calls = Calls(client, settings, bodies, self._account)
        self._streams = Streams(client, settings, bodies)
        self._requests = self._open_streams = 0
        self.catalog: Catalog = Catalog(connection, names, refresh=settings.refresh)
        services = Document(self.catalog, describe_services)
        paths = Document(self.catalog, describe_paths)
        figures = Figures(connection, names)
        self._parts = (services, paths, figures)
        self.pages: dict[str, Page] = {
            "/openapi.json": paths.serve,
            "/services.json": services.serve,
            "/stats.json": figures.serve,
        }
        """What the gateway serves of itself to GET, by path. An endpoint of that path has POST."""

    async def close(self) -> None:
        """End what is under way of the gateway's own."""
        await self.catalog.close()
        for part in self._parts:
            part.close()

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request, or none where its client left."""
        if self._requests >= self._settings.max_requests:
            problem = Problem(503, "the gateway serves as many requests as it may", headers=_RETRY)
            await exchange.refuse(problem)
            return
        self._requests += 1
        attendant = exchange.attendant = Attendant(exchange.receive, self._attention)
        try:
            await self._answer(exchange)
        except (LeftError, StalledError):
            pass
        except asyncio.CancelledError:
            if not (attendant.has_left or attendant.is_late):
                raise
            attendant.forgive()
            if attendant.is_late:
                await exchange.refuse(late())
        except Exception as error:
            attendant.end()
            await exchange.refuse(problem_of(error))
        finally:
            self._requests -= 1
            attendant.end()
            if exchange.held:
                self._account.settle(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        check_size(exchange)
        if self._settings.hosts:
            check_host(exchange, self._settings.hosts)
        path, method = exchange.path, exchange.method
        if method in _READS and path in OPEN:  # for all: they hold nothing of the services
            exchange.attendant.received()
            await serve_open(exchange, path)
            return
        page = self.pages.get(path) if method in _READS else None
        if page is not None:
            if self._settings.authorize is not None:
                await self._authorize(exchange, None)
            exchange.attendant.received()
            await page(exchange)
            return
        self.catalog.touch()
        route, tokens = self.catalog.routes.find(path) or await self._seek(path)
        if method not in route.methods:
            raise _not_allowed(route.methods)
        check_site(exchange, self._settings.origins)
        headers = self._settings.request_headers.of(exchange)
        if self._settings.authorize is not None:
            headers.update(await self._authorize(exchange, route.target(tokens)))
        timeout = asked_timeout(exchange, self._settings.max_timeout)
        try:
            await self._call(exchange, route, Terms(timeout, headers, tokens))
        except NoRespondersError:
            self.catalog.doubt()
            raise
        except (EncodeError, RpcError) as error:
            raise problem_of(error, route.where(method)) from error

    async def _seek(self, path: str) -> tuple[Route, Mapping[str, str] | None]:
        """The route of a path that is not known, for whose service is looked.

        Raises:
            Problem: there is none, or a parameter does not fit.
        """
        found = None
        if await self.catalog.missed():
            found = self.catalog.routes.find(path)
        if found is None and (path in OPEN or path in self.pages):
            raise _not_allowed(_READS)
        if found is None:
            raise Problem(404, f"no service is there that serves {path[:200]!r}")
        return found

    async def _authorize(self, exchange: Exchange, target: Target | None) -> Mapping[str, str]:
        """What the auth hook adds to the headers of a request.

        Raises:
            RpcError: it refuses the request.
            ConfigError: it gives a header that never crosses.
        """
        assert self._settings.authorize is not None  # asked by its callers
        added = await self._settings.authorize(HTTPConnection(exchange.scope), target) or {}
        for name in added:
            check_crossing("authorize", name)
        return added

    async def _call(self, exchange: Exchange, route: Route, terms: Terms) -> None:
        if not (route.gives_stream or route.takes_items):
            await self._calls.call(exchange, route, terms)
            return
        if self._open_streams >= self._settings.max_streams:
            raise Problem(503, "the gateway serves as many streams as it may", headers=_RETRY)
        self._open_streams += 1
        try:
            call = self._streams.call if route.gives_stream else self._calls.upload
            await call(exchange, route, terms)
        finally:
            self._open_streams -= 1


def _not_allowed(methods: tuple[str, ...]) -> Problem:
    allowed = ", ".join(methods)
    return Problem(405, f"expected one of {allowed}", headers={"allow": allowed})

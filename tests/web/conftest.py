"""The gateway under test, with the shop behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

import natsrpc
from natsrpc.testing import Broker, serve_in_memory
from natsrpc.web import Gateway, bind, host
from tests.browser import chromium

from .shop import shop

Browse = Callable[..., Awaitable[httpx.AsyncClient]]
Hosted = Callable[..., AbstractAsyncContextManager[str]]


@asynccontextmanager
async def browsing(gateway: Gateway, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of HTTP whose requests a gateway answers in this process."""
    transport = httpx.ASGITransport(gateway, **options)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http
    await gateway.close()


@pytest.fixture
async def browse() -> AsyncIterator[Browse]:
    """Gives a client of a gateway with these options, in front of these services."""
    async with AsyncExitStack() as stack:

        async def begin(
            *services: natsrpc.Service, broker: Broker | None = None, **options: Any
        ) -> httpx.AsyncClient:
            serving = serve_in_memory(*(services or (shop(),)), broker=broker)
            client = await stack.enter_async_context(serving)
            return await stack.enter_async_context(browsing(Gateway(client, **options)))

        yield begin


@pytest.fixture
def hosted() -> Hosted:
    """Gives the address of a gateway on a socket, with these options, before these services."""

    @asynccontextmanager
    async def begin(*services: natsrpc.Service, **options: Any) -> AsyncIterator[str]:
        async with serve_in_memory(*(services or (shop(),))) as client:
            gateway = Gateway(client, **options)
            with bind("127.0.0.1:0") as listener:
                async with gateway.lifespan(), host(gateway, listener) as url:
                    yield url

    return begin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with chromium() as found:
        yield found

"""A gateway over HTTP in a thread, and its page, for tests that drive a browser."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect

import natsrpc
from natsrpc.core import Connection
from natsrpc.testing import Broker, serve_in_memory
from natsrpc.web import Gateway
from tests.core.harness.waiting import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

App = Callable[[Gateway], Any]


class Served:
    """A gateway at `url`, with services in memory; more may join while it runs."""

    def __init__(self, services: tuple[natsrpc.Service, ...], app: App, options: Any) -> None:
        self.url = ""
        self._services = services
        self._app = app
        self._options = options
        self._loop: asyncio.AbstractEventLoop
        self._stack: AsyncExitStack
        self._begun: queue.Queue[None] = queue.Queue()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._broker = Broker()

    def join(self, service: natsrpc.Service) -> None:
        """Serve one more."""
        asyncio.run_coroutine_threadsafe(self._serve(service), self._loop).result(PATIENCE)

    async def _serve(self, service: natsrpc.Service) -> natsrpc.Client:
        return await self._stack.enter_async_context(serve_in_memory(service, broker=self._broker))

    def speak(self, act: Callable[[Connection], Awaitable[None]]) -> None:
        """Have something done on a connection of its own, which stays."""
        asyncio.run_coroutine_threadsafe(self._speak(act), self._loop).result(PATIENCE)

    async def _speak(self, act: Callable[[Connection], Awaitable[None]]) -> None:
        await act((await self._connect()).connection)

    async def _connect(self) -> natsrpc.Client:
        opening = natsrpc.connect("nats://memory:4222", **self._broker.options())
        return await self._stack.enter_async_context(opening)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as self._stack:
            client = await self._connect()
            for service in self._services:
                await self._serve(service)
            gateway = Gateway(client, **self._options)
            config = uvicorn.Config(self._app(gateway), lifespan="off", log_level="error")
            self._server = uvicorn.Server(config)
            host, port = self._socket.getsockname()
            self.url = f"http://{host}:{port}"
            self._begun.put(None)
            await self._server.serve([self._socket])
            await gateway.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        self._begun.get(timeout=PATIENCE)
        try:
            yield
        finally:
            self._server.should_exit = True
            thread.join(30)


def _as_it_is(gateway: Gateway) -> Any:
    return gateway


@contextmanager
def served(*services: natsrpc.Service, app: App = _as_it_is, **options: Any) -> Iterator[Served]:
    """A gateway for services in memory, and the URL it is at."""
    one = Served(services, app, {"refresh": 0.0, **options})
    with one.running():
        yield one


@contextmanager
def page_of(browser: Browser, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what went wrong in it."""
    wrong: list[str] = []

    def opened(dialog: Dialog) -> None:
        wrong.append("a dialog")
        dialog.dismiss()

    def told(said: ConsoleMessage) -> None:
        if "Content Security" in said.text:
            wrong.append(said.text)

    with browser.new_context(**options) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", opened)
        page.on("console", told)
        yield page, wrong


def at(page: Page, gateway: Served, service: str, endpoint: str) -> None:
    """Show an endpoint."""
    page.goto(f"{gateway.url}/docs#/{service}/1.0.0/endpoints/{endpoint}")
    expect(page.get_by_role("heading", level=1)).to_have_text(endpoint)


def call(page: Page) -> None:
    """Press the button that calls."""
    page.get_by_role("button", name="Call", exact=True).click()

"""`natsrpc gateway`: serves the services on NATS as JSON over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import types
from typing import Annotated

import typer

from natsrpc.errors import ConfigError
from natsrpc.rpc import Client, connect, on_signals

from .context import Destination
from .duration import parse_seconds
from .options import parse_size
from .output import say

__all__ = ["gateway", "own_hosts", "until_told", "web_room"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


async def gateway(
    destination: Destination,
    services: Annotated[
        list[str] | None, typer.Argument(help="Only services of these names.", show_default="all")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Where to listen.")
    ] = 8000,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    timeout: Annotated[str, typer.Option(help="For calls whose request names no time.")] = "5s",
    max_timeout: Annotated[str, typer.Option(help="The most that a request may name.")] = "60s",
    max_body: Annotated[str, typer.Option(help="The largest body of a request.")] = "8MiB",
    cors: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may call; * for all.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A host that requests may name.",
            show_default="localhost, if only this machine reaches the port",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="One more header of requests that crosses to a service."),
    ] = None,
    refresh: Annotated[str, typer.Option(help="How old what is known of services may be.")] = "10s",
    root_path: Annotated[str, typer.Option(help="The path below which a proxy serves this.")] = "",
) -> int:
    """Serve the services on NATS as JSON over HTTP, with their OpenAPI at /openapi.json.

    Everybody who reaches the port may call every service that is found: there is no login.
    """
    web = web_room()
    with contextlib.closing(
        web.bind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    ) as to:
        options = {"name": "natsrpc gateway", **destination.options}
        async with connect(destination.servers, **options) as client:
            app = web.Gateway(
                client,
                services or None,
                timeout=parse_seconds(timeout),
                max_timeout=parse_seconds(max_timeout),
                max_body=parse_size(max_body),
                cors=cors or (),
                hosts=own_hosts(host, allow_host or []),
                request_headers=(*web.REQUEST_HEADERS, *(header or ())),
                refresh=parse_seconds(refresh),
            )
            async with app.lifespan(), web.host(app, to, root_path=root_path) as url:
                page, openapi = f"{url}/docs", f"{url}/openapi.json"
                say(f"services are at {url}, their page at {page}, their OpenAPI at {openapi}")
                return await until_told(client)


def web_room() -> types.ModuleType:
    """The room of the gateway.

    Raises:
        ConfigError: the extra "web" is not installed.
    """
    try:
        from natsrpc import web
    except ModuleNotFoundError as error:
        text = f"this command needs the package {error.name}: pip install 'natsrpc[web]'"
        raise ConfigError(text) from None
    return web


def own_hosts(host: str, given: list[str]) -> list[str]:
    """The hosts that requests may name: of a gateway for this machine alone its own names."""
    if given or host not in _LOOPBACK:
        return given
    return ["localhost", "127.0.0.1", "[::1]"]


async def until_told(client: Client) -> int:
    """Wait for a signal, or for the end of the connection; the exit code."""
    told = asyncio.Event()
    undo = on_signals(told.set, signal.SIGINT, signal.SIGTERM)
    waiting = [
        asyncio.ensure_future(told.wait()),
        asyncio.ensure_future(client.connection.wait_closed()),
    ]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        undo()
        for each in waiting:
            each.cancel()
    if not told.is_set():
        say(f"error: the connection is closed: {client.connection.last_error}")
    return int(not told.is_set())

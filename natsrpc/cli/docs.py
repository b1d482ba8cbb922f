"""`natsrpc docs`: shows the services in a page of the browser, to read about and to try."""

from __future__ import annotations

import asyncio
import contextlib
import webbrowser
from typing import Annotated

import typer

from natsrpc.rpc import connect

from .context import Destination
from .gateway import own_hosts, until_told, web_room
from .output import say

__all__ = ["docs"]

_HOST = "127.0.0.1"
_REFRESH = 2.0


async def docs(
    destination: Destination,
    services: Annotated[
        list[str] | None, typer.Argument(help="Only services of these names.", show_default="all")
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", "-p", min=0, max=65535, help="Where to listen.", show_default="a free one"
        ),
    ] = 0,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> int:
    """Show the services in a page: what they do, their types, live counters, a form to call them.

    Nobody reaches it but the users of this machine. Ctrl-C ends it.
    """
    web = web_room()
    with contextlib.closing(web.bind(f"{_HOST}:{port}")) as to:
        options = {"name": "natsrpc docs", **destination.options}
        async with connect(destination.servers, **options) as client:
            app = web.Gateway(
                client, services or None, hosts=own_hosts(_HOST, []), refresh=_REFRESH
            )
            async with app.lifespan(), web.host(app, to) as url:
                page = f"{url}/docs"
                if open_ and await asyncio.to_thread(webbrowser.open, page):
                    say(f"the services are shown at {page}; Ctrl-C ends it")
                else:
                    say(f"open {page} in a browser; Ctrl-C ends it")
                return await until_told(client)

"""The pages about a pool, as an ASGI app: `/livez`, `/readyz`, `/metrics`, `/info`.

`natsrpc run --http` serves them beside its workers. They tell nothing secret and change nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Pool", "pages"]

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pool(Protocol):
    """What the pages are about."""

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether calls are answered now, and why not."""
        ...

    def metrics(self) -> str:
        """All figures, in Prometheus' text format."""
        ...

    def info(self) -> dict[str, Any]:
        """What runs here."""
        ...


def pages(pool: Pool) -> Starlette:
    """The app with the pages of one pool.

    - `/livez`: 200 as long as the process answers at all;
    - `/readyz`: 200 if calls are answered, else 503; the body says of each worker how it is;
    - `/metrics`: the figures of all workers together;
    - `/info`: versions, services, endpoints, workers.
    """

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    look: asyncio.Task[tuple[bool, dict[str, Any]]] | None = None

    async def readyz(request: Request) -> Response:
        # it asks the probes of every worker: those who come meanwhile share the answer
        nonlocal look
        if look is None or look.done():
            look = asyncio.ensure_future(pool.readiness())
        ready, told = await asyncio.shield(look)
        return JSONResponse(told, status_code=200 if ready else 503)

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(pool.metrics(), media_type=_METRICS_TYPE)

    async def info(request: Request) -> Response:
        return JSONResponse(pool.info())

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/info", info),
        ]
    )

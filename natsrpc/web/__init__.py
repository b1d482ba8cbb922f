"""HTTP: the services of a connection as JSON (`Gateway`), and the health and figures of a pool.

It needs the extra "web" (uvicorn, starlette), and is loaded when it is first used.
"""

from .gateway import Gateway
from .hosting import host
from .pages import Pool, pages
from .routes import Target
from .serving import bind, serve
from .settings import Authorize
from .terms import IN as REQUEST_HEADERS
from .terms import OUT as RESPONSE_HEADERS

__all__ = [
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "Authorize",
    "Gateway",
    "Pool",
    "Target",
    "bind",
    "host",
    "pages",
    "serve",
]

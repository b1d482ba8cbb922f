"""HTTP: the services of a connection as JSON (`Gateway`), and the health and figures of a pool.

It needs the extra "web" (uvicorn, starlette), and is loaded when it is first used.
"""

from .gateway import Gateway
from .pages import Pool, pages
from .routes import Target
from .serving import bind, serve
from .settings import Authorize

__all__ = ["Authorize", "Gateway", "Pool", "Target", "bind", "pages", "serve"]

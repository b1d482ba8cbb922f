"""Pages over HTTP: the health and the figures of a pool, for those who watch it.

It needs the extra "web" (uvicorn, starlette), and is loaded when it is first used.
"""

from .pages import Pool, pages
from .serving import bind, serve

__all__ = ["Pool", "bind", "pages", "serve"]

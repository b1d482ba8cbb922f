"""The page at `/docs`: the files that a browser makes it from, out of the two descriptions.

All that is shown was written by whoever may answer discovery. The page makes texts of it, and its
policy allows no script but these files, no style, picture or request from elsewhere, and no frame.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .exchange import Exchange

__all__ = ["FILES", "OPEN", "serve_open"]

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_FOLDER = Path(__file__).with_name("page")


def _path(file: Path) -> str:
    return "/docs" if file.name == "index.html" else f"/docs/{file.name}"


FILES = {_path(file): file for file in sorted(_FOLDER.iterdir()) if file.suffix in _TYPES}
"""The files by the path that each is served at."""

OPEN = frozenset((*FILES, "/"))
"""What everybody may see: the files, and the way to them."""

_read: dict[str, tuple[bytes, bytes]] = {}


async def serve_open(exchange: Exchange, path: str) -> None:
    """Answer a request for one of `OPEN`; a reader that has a file already is told so (304)."""
    if path == "/":  # relative, for the gateway may be mounted anywhere
        await exchange.respond(b"", status=307, headers=[(b"location", b"docs")])
        return
    if path not in _read:
        body = FILES[path].read_bytes()
        _read[path] = body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
    body, tag = _read[path]
    headers = [
        (b"cache-control", b"no-cache"),
        (b"etag", tag),
        (b"referrer-policy", b"no-referrer"),
    ]
    if tag in exchange.headers.get(b"if-none-match", b""):
        await exchange.respond(b"", status=304, headers=headers, policy=POLICY)
        return
    type_ = f"{_TYPES[FILES[path].suffix]}; charset=utf-8"
    await exchange.respond(body, type_, headers=headers, policy=POLICY)

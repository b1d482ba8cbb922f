"""The text of credential files: the user JWT and the seed in it, and whether they are whole.

Read line by line, in time that grows with the text and no faster. What is quoted in an error is
never a part of the text.

Ref: https://docs.nats.io/using-nats/developer/connecting/creds.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple

MAX_FILE = 1024 * 1024
"""Characters of a file with credentials: a JWT takes some thousands."""

_SIGNATURE_SIZE = 64

_SEED = re.compile(r"S[UAO][A-Z2-7]{56}")
_PUBLIC = re.compile(r"U[A-Z2-7]{55}")


def is_public(text: str) -> bool:
    """Whether a text looks like the public key of a user."""
    return _PUBLIC.fullmatch(text) is not None


def is_text(text: str | bytes | bytearray) -> bool:
    """Whether this is what a credentials file holds, rather than the path of one."""
    return "-----BEGIN" in text if isinstance(text, str) else b"-----BEGIN" in text


def is_seed(text: str) -> bool:
    """Whether a text has the form of a seed."""
    return _SEED.fullmatch(text) is not None


class Found(NamedTuple):
    """The JWT and the seed of a text; empty where there is none. `has_seed` tells that a seed was
    announced, though what is there may be none."""

    jwt: str
    seed: str
    has_seed: bool


def find(text: str) -> Found:
    """Look for a user JWT and a seed: each in its block, or else as the whole text, or a line of
    its own."""
    lines = text.splitlines()
    block, jwt = _block(lines, "SEED"), _block(lines, "JWT")
    candidates = [line.strip() for line in lines] if block is None else [block]
    seed = next((line for line in candidates if is_seed(line)), "")
    return Found(text.strip() if jwt is None else jwt, seed, block is not None)


def _block(lines: list[str], kind: str) -> str | None:
    """The first word behind a line like `-----BEGIN … kind …-----`; None if there is no such line,
    empty if nothing comes behind it."""
    for place, line in enumerate(lines):
        title = line.strip()
        _, begin, rest = title.partition("BEGIN")
        if begin and title.startswith("---") and title.endswith("---") and kind in rest:
            return next((words[0] for each in lines[place + 1 :] if (words := each.split())), "")
    return None


def claims(jwt: str) -> dict[str, Any] | None:
    """What a JWT says, unverified; None if it is no JWT, or not a whole one."""
    parts = jwt.split(".")
    if len(parts) != 3:
        return None
    try:
        if len(_decoded(parts[2])) != _SIGNATURE_SIZE:
            return None
        json.loads(_decoded(parts[0]))
        found = json.loads(_decoded(parts[1]))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_bearer(found: dict[str, Any] | None) -> bool:
    """Whether a JWT is one that needs no proof of its key."""
    nats = None if found is None else found.get("nats")
    return isinstance(nats, dict) and nats.get("bearer_token") is True


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)

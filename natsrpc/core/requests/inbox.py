"""Inboxes and request tokens: random, base 62, never sequential.

A responder sees the token of the request that it answers. If tokens followed one another, it could
answer for others, so each is cut from a block of the operating system's randomness (`os.urandom`:
one system call for some hundred tokens).
"""

from __future__ import annotations

import os
from struct import Struct

_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Bytes 248..255 are left out, so that every character is equally likely.
_TABLE = bytes(_ALPHABET[i % 62] for i in range(256))
_UNEVEN = bytes(range(248, 256))

TOKEN_SIZE = 8
INBOX_SIZE = 22
_TOKENS = Struct(f"{TOKEN_SIZE}s" * 500)


def random_text(size: int) -> bytes:
    """`size` random base-62 characters."""
    text = b""
    while len(text) < size:
        # some 3 % are left out
        text += os.urandom(size + size // 16 + 8).translate(_TABLE, _UNEVEN)
    return text[:size]


def new_tokens() -> list[bytes]:
    """500 request tokens of 8 characters, to be popped one at a time."""
    return list(_TOKENS.unpack(random_text(_TOKENS.size)))


def new_inbox(prefix: str = "_INBOX") -> str:
    """A fresh subject to receive replies on: the prefix, a dot, and 22 random characters.

    Ref: nats.go `NewInbox`.
    """
    return f"{prefix}.{random_text(INBOX_SIZE).decode()}"

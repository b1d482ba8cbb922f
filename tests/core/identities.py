"""Keys, and operators, accounts and users signed with them, as `nsc` would make them."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nkeys

_UNLIMITED = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True,
    "conn": -1, "leaf": -1,
}  # fmt: skip


class Key:
    """One nkey."""

    def __init__(self, role: int = nkeys.PREFIX_BYTE_USER) -> None:
        self.seed: str = nkeys.encode_seed(os.urandom(32), role).decode()
        self._pair = nkeys.from_seed(self.seed.encode())
        self.public: str = self._pair.public_key.decode()

    def sign(self, data: bytes) -> bytes:
        signed: bytes = self._pair.sign(data)
        return signed


def key_of_account() -> Key:
    return Key(nkeys.PREFIX_BYTE_ACCOUNT)


class Operator:
    """An operator with one account, and a server configuration that trusts it."""

    def __init__(
        self, limits: Mapping[str, Any] | None = None, *, expires_in: float | None = None
    ) -> None:
        self._key = Key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = key_of_account()
        self._limits = {**_UNLIMITED, **(limits or {})}
        self._jwt = token(self._key, self._key.public, {"type": "operator"})  # no reload changes it
        self._expires_in = expires_in
        self.revoked: dict[str, int] = {}

    @property
    def config(self) -> str:
        account = token(
            self._key,
            self._account.public,
            {"type": "account", "limits": self._limits, "revocations": self.revoked},
            self._expires_in,
        )
        return (
            f"operator: {self._jwt}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{ {self._account.public}: {account} }}\n"
        )

    def user(self, key: Key, *, expires_in: float | None = None, bearer: bool = False) -> str:
        """A user's JWT."""
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1, "bearer_token": bearer}
        return token(self._account, key.public, claims, expires_in)

    def revoke(self, key: Key) -> None:
        """Revoke all that was issued to this user so far; takes effect with `config`."""
        self.revoked[key.public] = int(time.time()) + 1


def token(
    issuer: Key, subject: str, claims: Mapping[str, Any], expires_in: float | None = None
) -> str:
    """A JWT of the kind NATS uses: Ed25519 over nkeys."""
    now = time.time()
    body: dict[str, Any] = {
        "jti": base64.b32encode(os.urandom(32)).decode().rstrip("="),
        "iat": int(now),
        "iss": issuer.public,
        "sub": subject,
        "name": "test",
        "nats": {"version": 2, **claims},
    }
    if expires_in is not None:
        body["exp"] = int(now + expires_in)
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (head, body))
    return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def creds(jwt: str, seed: str) -> str:
    """The text of a `.creds` file."""
    return f"""-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""


def private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

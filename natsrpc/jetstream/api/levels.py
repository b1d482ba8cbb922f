"""API levels: what a server can. A feature that an old one lacks is refused here, by name.

An old server does not refuse it: it drops fields that it does not know, stores headers that it does
not know, or does not answer at all.
"""

from __future__ import annotations

from natsrpc.errors import JetStreamError

VERSIONS = {1: "2.11", 2: "2.12", 3: "2.14", 4: "2.14", 5: "2.15"}
"""The first nats-server with an API level."""


def lacking(feature: str, level: int) -> JetStreamError:
    """The error that tells that the server is too old for a feature."""
    version = VERSIONS.get(level, "a newer version")
    return JetStreamError(
        f"{feature} needs nats-server {version} or later, and the server is older",
        code=412,
        description=f"needs nats-server {version}",
    )

"""The root of all errors, and those of no one part: a refused argument, a nats-server process."""

from __future__ import annotations


class NatsRpcError(Exception):
    """The root of everything natsrpc raises on purpose."""


class ConfigError(NatsRpcError, ValueError):
    """An argument was refused before anything was sent or registered."""


class ConfigTypeError(ConfigError, TypeError):
    """An argument of the wrong type was refused before anything was sent or registered."""


class ServerNotFoundError(NatsRpcError, FileNotFoundError):
    """No nats-server executable is at hand."""


class ServerStartError(NatsRpcError):
    """A nats-server ended, or did not become ready. `log` is what it had written."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log

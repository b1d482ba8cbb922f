"""The root of all errors, and those of no one part: a refused argument, a nats-server process."""

from __future__ import annotations

from typing import Any


class NatsRpcError(Exception):
    """The root of everything natsrpc raises on purpose.

    Copies, and what `pickle` reads back, are of the same class, with the same text and attributes.
    `__init__` is not called for them, so that a subclass may take what it likes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), vars(self)


def _again(cls: type[NatsRpcError], args: tuple[Any, ...]) -> NatsRpcError:
    """The error without its attributes. (Some are of classes that Python makes otherwise, such as
    `OSError`, so `args` is set.)"""
    error = cls.__new__(cls)
    error.args = args
    return error


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

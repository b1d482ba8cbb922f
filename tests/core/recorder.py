"""What a connection told its callbacks, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from natsrpc.core import Connection

CALLBACKS = (
    "on_connect",
    "on_disconnect",
    "on_reconnect",
    "on_reconnect_error",
    "on_close",
    "on_error",
    "on_discovered_servers",
    "on_lame_duck",
)


class Recorder:
    """`connect(url, **recorder.options)`; then `recorder.names`, `recorder.times(name)`."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...], float]] = []

    @property
    def options(self) -> dict[str, Any]:
        return {name: self._taking(name) for name in CALLBACKS}

    def _taking(self, name: str) -> Callable[..., None]:
        def take(nc: Connection, *arguments: Any) -> None:
            self.events.append((name, arguments, nc.link.loop.time()))

        return take

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]

    def told(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for called, arguments, _ in self.events if called == name]

    def times(self, name: str) -> list[float]:
        return [time for called, _, time in self.events if called == name]

"""Observability of calls: traces (`natsrpc.observe.otel`), metrics (`natsrpc.observe.prometheus`),
log lines (`natsrpc.observe.logs`), and the figures of a pool's workers in shared memory
(`natsrpc.observe.figures`).

Each is loaded when it is first used, and costs nothing where it is not. The first two are
middleware, and need the extra of their name: without it, loading them is an `ImportError` that
names the extra.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_PARTS = ("figures", "logs", "otel", "prometheus")


def __getattr__(name: str) -> ModuleType:
    if name not in _PARTS:
        raise AttributeError(f"module 'natsrpc.observe' has no attribute {name!r}")
    return importlib.import_module(f"natsrpc.observe.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})

"""Observability of calls: traces (`natsrpc.observe.otel`), metrics (`natsrpc.observe.prometheus`).

Each is middleware, needs the extra of its name, is loaded when it is first used, and costs nothing
where it is not. Without its extra, loading it is an `ImportError` that names the extra.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_PARTS = ("otel", "prometheus")


def __getattr__(name: str) -> ModuleType:
    if name not in _PARTS:
        raise AttributeError(f"module 'natsrpc.observe' has no attribute {name!r}")
    return importlib.import_module(f"natsrpc.observe.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})

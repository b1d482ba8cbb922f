"""`on_created`: what is done with each service and each client of a process, once it is made.

For what instruments programs that know nothing of it. Nothing is called where nobody asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_hooks: list[Callable[[Any], object]] = []


def on_created(hook: Callable[[Any], object]) -> Callable[[], None]:
    """Call `hook` with each `Service` and each `Client` that is made from now on; a function that
    ends it."""
    _hooks.append(hook)

    def end() -> None:
        if hook in _hooks:
            _hooks.remove(hook)

    return end


def created(made: Any) -> None:
    """Tell of a service or a client. Called by its constructor."""
    for hook in _hooks:
        hook(made)

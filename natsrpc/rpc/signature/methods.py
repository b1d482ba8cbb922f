"""The public methods of a class or Protocol: what `register` serves and `bind` calls."""

from __future__ import annotations

import inspect


def public_methods(api: type) -> list[str]:
    """Names of the public methods a class or Protocol defines, base classes first."""
    names: dict[str, None] = {}
    for base in reversed(api.__mro__):
        if base is object or base.__module__ in ("typing", "abc"):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, (staticmethod, classmethod))
            ):
                names[name] = None
    return list(names)

"""The differences of limits: lengths, numbers, formats, patterns. `compare` calls it."""

from __future__ import annotations

from typing import Any

from .differences import Difference, changed, narrowed, or_none, widened
from .schemas import Node

# Keywords with one bound, and the sign of a change that narrows.
_BOUNDS = (
    ("minLength", 1),
    ("maxLength", -1),
    ("minItems", 1),
    ("maxItems", -1),
    ("minProperties", 1),
    ("maxProperties", -1),
)
_FACETS = ("format", "pattern")


def limits(old: Node, new: Node) -> list[Difference]:
    """Return the differences of the limits of two nodes of one type."""
    found = []
    for key, sign in _BOUNDS:
        before, after = old.get(key), new.get(key)
        if before != after and (key in old or key in new):
            found.append(_bound(key, before, after, sign))
    for keys, sign in ((("minimum", "exclusiveMinimum"), 1), (("maximum", "exclusiveMaximum"), -1)):
        low, high = _edge(old, keys, sign), _edge(new, keys, sign)
        if low != high:
            text = f"{keys[0]} {_edge_text(old, keys)} became {_edge_text(new, keys)}"
            tighter = low is None or (high is not None and high > low)
            found.append(narrowed(text) if tighter else widened(text))
    before, after = old.get("multipleOf") or None, new.get("multipleOf") or None
    if before != after:
        found.append(_multiples(before, after))
    if bool(old.get("uniqueItems")) != bool(new.get("uniqueItems")):
        unique = new.get("uniqueItems")
        found.append(
            narrowed("items must be unique now") if unique else widened("items may repeat now")
        )
    return found + [
        facet(key, old.get(key), new.get(key)) for key in _FACETS if old.get(key) != new.get(key)
    ]


def _bound(key: str, before: Any, after: Any, sign: int) -> Difference:
    text = f"{key} {or_none(before)} became {or_none(after)}"
    tighter = before is None or (after is not None and (after - before) * sign > 0)
    return narrowed(text) if tighter else widened(text)


def _edge(node: Node, keys: tuple[str, str], sign: int) -> tuple[Any, bool] | None:
    """Return the tighter of an inclusive and an exclusive bound; None if there is none.

    Bounds are comparable: a greater one allows less. Of two equal numbers the exclusive one does.
    """
    found = [(node[key] * sign, key == keys[1]) for key in keys if key in node]
    return max(found) if found else None


def _edge_text(node: Node, keys: tuple[str, str]) -> str:
    found = [f"{node[key]}{' excluded' if key == keys[1] else ''}" for key in keys if key in node]
    return " and ".join(found) or "none"


def _multiples(before: Any, after: Any) -> Difference:
    text = f"multipleOf {or_none(before)} became {or_none(after)}"
    if before is None or (after is not None and _divides(before, after)):
        return narrowed(text)
    return widened(text) if after is None or _divides(after, before) else changed(text)


def _divides(one: Any, other: Any) -> bool:
    try:
        return bool(other % one == 0)
    except OverflowError:  # of a float, and an int that no float can hold
        return False


def facet(key: str, before: Any, after: Any) -> Difference:
    """Return the difference of a keyword whose values cannot be ordered."""
    text = f"{key} {or_none(before)} became {or_none(after)}"
    if before is None:
        return narrowed(text)
    return widened(text) if after is None else changed(text)

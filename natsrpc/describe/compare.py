"""The differences of two JSON Schemas of one value, and whom each of them breaks. `diff` calls it.

The caller follows the old schema, the service the new one. A request is written by the caller and
read by the service, so it may be widened but not narrowed. A response is written by the service and
read by the caller, so it may be narrowed but not widened. *Narrowed* means that some old values are
no longer allowed, *widened* that some new ones are.

Objects are open: a reader skips fields that it does not know, unless `additionalProperties` is
false. A removed field breaks both ways all the same, because the data in it is silently lost.

The subset of JSON Schema 2020-12 that pydantic writes is compared. Schemas may be recursive, so
each pair of nodes is compared once: one that is met again while it is being compared counts as
equal.

Ref: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from natsrpc.errors import ConfigError

from .budget import Budget
from .differences import Difference, changed, narrowed, shown, under, widened
from .limits import facet, limits
from .schemas import Node, allowed_values

_RECODED = ("contentEncoding", "contentMediaType")
_TALK = frozenset(
    {"title", "description", "examples", "default", "deprecated", "$defs", "discriminator"}
)
"""Keywords without an effect on which values are allowed."""

_MAX_ALTERNATIVES = 1_000
_MAX_SPELLED = 20  # alternatives of one union, and values of one enumeration, in words

_ANY: Node = {}
_NULL: Node = {"type": "null"}


def compare(old: Node, new: Node, budget: Budget | None = None) -> list[Difference]:
    """Return the differences of two schemas, each a whole schema with its own `$defs`.

    Raises:
        ConfigError: they are too large, or differ in too much.
    """
    return _Comparison(old, new, budget or Budget()).nodes(old, new)


def spelled(schema: Node) -> str:
    """Return a schema in a few words, as in "array of string | null"."""
    return _Side(schema).spell(schema)


class _Side:
    """One of the two schemas: follows its references and splits its unions.

    Nodes are dicts, which cannot be keys; results are remembered by the node's id. The same node
    always gives the same object, because `_Comparison` knows pairs by their ids, too.
    """

    def __init__(self, root: Node) -> None:
        self._definitions: Mapping[str, Any] = root.get("$defs") or {}
        self._resolved: dict[int, Node] = {}
        self._alternatives: dict[int, list[Node]] = {}
        self._held: list[Any] = []  # an id is reused once its object is gone: hold them

    def resolve(self, node: Any) -> Node:
        """Follow references, and join the target with the keywords beside the reference."""
        found = self._resolved.get(id(node))
        if found is None:
            self._held.append(node)
            found = self._resolved[id(node)] = self._follow(node)
        return found

    def _follow(self, node: Any) -> Node:
        seen = set()  # an alias of itself refers to itself without end
        found = _node(node)
        while True:
            if len(found.get("allOf", ())) == 1:
                outer = {k: v for k, v in found.items() if k != "allOf"}
                found = {**_node(found["allOf"][0]), **outer}
            reference = found.get("$ref")
            if reference is None or reference in seen:
                return found
            seen.add(reference)
            target = _node(self._definitions.get(str(reference).rpartition("/")[2]))
            rest = {k: v for k, v in found.items() if k != "$ref" and k not in _TALK}
            found = {**target, **rest} if rest else target

    def alternatives(self, node: Any) -> list[Node]:
        """Return the schemas without unions of which a value must match one."""
        target = self.resolve(node)
        found = self._alternatives.get(id(target))
        if found is None:
            # set first, so that a union which contains itself ends: it adds no alternative
            self._alternatives[id(target)] = []
            found = self._alternatives[id(target)] = self._split(target)
        return found

    def _split(self, node: Node) -> list[Node]:
        for key in ("anyOf", "oneOf"):
            if key in node:
                # each once, though many unions name it: a few lines can name one a billion times
                found = {id(each): each for inner in node[key] for each in self.alternatives(inner)}
                if len(found) > _MAX_ALTERNATIVES:
                    raise ConfigError(
                        f"this contract is too large: over {_MAX_ALTERNATIVES} alternatives"
                    )
                return list(found.values())
        if isinstance(node.get("type"), list):
            return [{**node, "type": each} for each in node["type"]]
        values = node.get("enum")
        if values is not None and None in values and len(values) > 1:
            return [{**node, "enum": [v for v in values if v is not None]}, _NULL]
        return [node]

    def spell(self, node: Any, depth: int = 3) -> str:
        """Return a node in a few words. Below `depth` levels of it stands an ellipsis."""
        if not depth:
            return "…"
        alternatives = self.alternatives(node)
        words = (self._spell(each, depth - 1) for each in alternatives[:_MAX_SPELLED])
        more = ["…"] if len(alternatives) > _MAX_SPELLED else []
        return " | ".join(dict.fromkeys([*words, *more]))

    def _spell(self, node: Node, depth: int) -> str:
        values = allowed_values(node)
        if values is not None:
            more = ["…"] if len(values) > _MAX_SPELLED else []
            return " | ".join([*map(shown, values[:_MAX_SPELLED]), *more])
        kind = node.get("type")
        if kind is None:
            return "anything"
        if kind == "array" and "prefixItems" in node:
            return f"tuple of {len(node['prefixItems'])}"
        if kind == "array":
            return f"array of {self.spell(node.get('items', _ANY), depth)}"
        if kind == "object" and "title" in node:
            return str(node["title"])
        if kind == "object" and isinstance(node.get("additionalProperties"), Mapping):
            return f"object of {self.spell(node['additionalProperties'], depth)}"
        facets = [str(node[facet]) for facet in ("format", *_RECODED) if facet in node]
        return f"{kind} ({', '.join(facets)})" if facets else str(kind)


class _Comparison:
    """Compares two schemas node by node."""

    def __init__(self, old: Node, new: Node, budget: Budget) -> None:
        self._budget = budget
        self._old = _Side(old)
        self._new = _Side(new)
        self._done: dict[tuple[int, int], list[Difference]] = {}
        self._held: list[Any] = []  # holds the nodes whose ids are in `_done`

    def nodes(self, old: Any, new: Any) -> list[Difference]:
        """Return the differences of two nodes, with paths that start at them."""
        before, after = self._old.alternatives(old), self._new.alternatives(new)
        if len(before) == len(after) == 1:
            return self._plain(before[0], after[0])
        return self._unions(before, after)

    # unions

    def _unions(self, before: list[Node], after: list[Node]) -> list[Difference]:
        if any(map(_is_any, before)) and any(map(_is_any, after)):
            return []
        gone, come = list(before), list(after)
        found: list[Difference] = []
        # Pair the alternatives: equal ones first, then those of one kind, so that a change within
        # an alternative is told as such, and not as one that went and another that came.
        for same in (True, False):
            for old in list(gone):
                for new in come:
                    if same and self._plain(old, new):
                        continue
                    if not same and _key(old) != _key(new):
                        continue
                    found += self._plain(old, new)
                    gone.remove(old)
                    come.remove(new)
                    break
        if len(gone) == len(come) == 1 and len(before) == len(after):
            return found + self._plain(gone[0], come[0])
        # An alternative without a partner matters only if no other one allows its values.
        for old in gone:
            if not any(self._fits(old, new) for new in after):
                found.append(narrowed(f"{self._old.spell(old)} is no longer allowed"))
        for new in come:
            if not any(self._reads(old, new) for old in before):
                found.append(widened(f"may now also be {self._new.spell(new)}"))
        return found

    def _fits(self, old: Node, new: Node) -> bool:
        """Whether every value by `old` is allowed by `new`."""
        return not any(each.breaks_request for each in self._plain(old, new))

    def _reads(self, old: Node, new: Node) -> bool:
        """Whether every value by `new` is allowed by `old`."""
        return not any(each.breaks_response for each in self._plain(old, new))

    # two nodes without unions

    def _plain(self, old: Node, new: Node) -> list[Difference]:
        pair = (id(old), id(new))
        found = self._done.get(pair)
        self._budget.spend()
        if found is None:
            self._budget.spend(4)
            self._held += (old, new)
            self._done[pair] = []  # equal, for as long as it is being compared
            found = self._done[pair] = self._compared(old, new)
        return found

    def _compared(self, old: Node, new: Node) -> list[Difference]:
        if _is_any(old) or _is_any(new):
            return self._with_any(old, new)
        before, after = allowed_values(old), allowed_values(new)
        if before is not None and after is not None:
            return _enums(before, after)
        text = f"{self._old.spell(old)} became {self._new.spell(new)}"
        kinds = (old.get("type"), new.get("type"))
        if before is not None or after is not None:
            if kinds[0] != kinds[1] and None not in kinds:
                return [changed(text)]
            return [narrowed(text) if before is None else widened(text)]
        if kinds in (("integer", "number"), ("number", "integer")):
            return [widened(text) if kinds[1] == "number" else narrowed(text), *limits(old, new)]
        if kinds[0] != kinds[1] or any(old.get(key) != new.get(key) for key in _RECODED):
            return [changed(text)]
        found = limits(old, new)
        if kinds[0] == "array":
            found += self._arrays(old, new)
        elif kinds[0] == "object":
            found += self._objects(old, new)
        return found

    def _with_any(self, old: Node, new: Node) -> list[Difference]:
        if _is_any(old) and _is_any(new):
            return []
        if _is_any(new):
            return [widened(f"{self._old.spell(old)} became anything")]
        return [narrowed(f"anything became {self._new.spell(new)}")]

    # arrays

    def _arrays(self, old: Node, new: Node) -> list[Difference]:
        before, after = old.get("prefixItems", ()), new.get("prefixItems", ())
        found = []
        for index in range(max(len(before), len(after))):
            if _holds(old, index) and _holds(new, index):
                found += under(f"[{index}]", self.nodes(_item(old, index), _item(new, index)))
        beyond = max(len(before), len(after))
        if _holds(old, beyond) and _holds(new, beyond):
            found += under("[]", self.nodes(_item(old, beyond), _item(new, beyond)))
        return found

    # objects

    def _objects(self, old: Node, new: Node) -> list[Difference]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        found: list[Difference] = []
        gone = {name: name in needed for name in before if name not in after}
        come = {name: name in needs for name in after if name not in before}
        for name, other in self._renamed(before, after, gone, come).items():
            found.append(changed(f"renamed to {other!r}", name))
            del gone[name], come[other]
        found += [changed("removed", name) for name in gone]
        closed = old.get("additionalProperties") is False
        for name, required in come.items():
            text = "added, required" if required else "added, optional"
            found.append(Difference(name, text, required, closed))
        for name in (name for name in before if name in after):
            if name in needs - needed:
                found.append(narrowed("became required", name))
            elif name in needed - needs:
                found.append(widened("became optional", name))
            found += under(name, self._property(before[name], after[name]))
        if old.get("description") != new.get("description"):
            found.append(Difference("", "described in other words", talk=True))
        return found + self._others(old, new)

    def _property(self, old: Any, new: Any) -> list[Difference]:
        found = self.nodes(old, new)
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            return found
        if "default" in old and "default" in new and old["default"] != new["default"]:
            text = f"default {shown(old['default'])} became {shown(new['default'])}"
            found = [*found, Difference("", text, choice=True)]
        if old.get("description") != new.get("description"):
            found = [*found, Difference("", "described in other words", talk=True)]
        if new.get("deprecated") and not old.get("deprecated"):
            found = [*found, Difference("", "deprecated")]
        return found

    def _renamed(
        self, before: Node, after: Node, gone: Mapping[str, bool], come: Mapping[str, bool]
    ) -> dict[str, str]:
        """Return old name -> new name of fields that were renamed.

        A removed and an added field are one that was renamed if their schemas are equal, both are
        required or both optional, and neither has another such partner.
        """
        alike = {
            name: [
                other
                for other, needs in come.items()
                if needs == needed and not self.nodes(before[name], after[other])
            ]
            for name, needed in gone.items()
        }
        chosen = [found[0] for found in alike.values() if len(found) == 1]
        return {
            name: found[0]
            for name, found in alike.items()
            if len(found) == 1 and chosen.count(found[0]) == 1
        }

    def _others(self, old: Node, new: Node) -> list[Difference]:
        """Compare the fields without names of their own: an object's openness, a dict's values."""
        before, after = (each.get("additionalProperties", True) for each in (old, new))
        found: list[Difference] = []
        if before is False and after is not False:
            found.append(widened("may now have other fields"))
        elif after is False and before is not False:
            found.append(narrowed("other fields are refused now"))
        elif before is not False:
            found += under("{}", self.nodes(before, after))
        for key in ("patternProperties", "propertyNames"):
            if old.get(key) != new.get(key):
                found.append(facet(key, old.get(key), new.get(key)))
        return found


def _is_any(node: Node) -> bool:
    return not any(key not in _TALK for key in node)


def _node(schema: Any) -> Node:
    """A schema as an object: `true` is an empty one. `false` is handled where it can occur."""
    return schema if isinstance(schema, Mapping) else _ANY


def _key(node: Node) -> Any:
    """Return the key by which an alternative of a union is found again in the other schema.

    For objects these are their constant fields, the tags of a tagged union, or else the title.
    """
    if allowed_values(node) is not None:
        return "enum"
    kind = node.get("type")
    if kind == "object":
        fixed = {
            name: each["const"]
            for name, each in node.get("properties", {}).items()
            if isinstance(each, Mapping) and "const" in each
        }
        return "object", json.dumps(fixed, sort_keys=True) if fixed else node.get("title")
    return "number" if kind == "integer" else kind


def _enums(before: Sequence[Any], after: Sequence[Any]) -> list[Difference]:
    # 1 and true are equal in Python, and different values of JSON
    old, new = ({shown(value): value for value in values} for values in (before, after))
    gone = [narrowed(f"{value} is no longer allowed") for value in old if value not in new]
    return gone + [widened(f"may now also be {value}") for value in new if value not in old]


def _holds(node: Node, index: int) -> bool:
    """Whether an array can have an item at this index."""
    return node.get("maxItems", index + 1) > index and _item(node, index) is not False


def _item(node: Node, index: int) -> Any:
    prefix = node.get("prefixItems", ())
    return prefix[index] if index < len(prefix) else node.get("items", _ANY)

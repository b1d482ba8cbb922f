"""Spelling in Python source: identifiers out of any text, free names, literals, docstrings.

`stub` and `sources` write modules by it. The rule kept here: whatever the text, the result is valid
source, for it comes from a contract that somebody else wrote.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from math import isfinite
from typing import Any

_not_word = re.compile(r"[^A-Za-z0-9_]+")
_humps = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_parts = re.compile(r"[A-Za-z0-9]+").findall


def identifier(text: str, missing: str = "value") -> str:
    """Return an identifier close to `text`: public and no keyword.

    It is `missing` where no letter or digit of the text can be used.
    """
    found = _not_word.sub("_", text).strip("_") or missing
    if found[0].isdigit():
        found = f"{missing}_{found}"
    return f"{found}_" if keyword.iskeyword(found) else found


def method_name(text: str) -> str:
    """Return the name of a method close to `text`: its words in lower case, joined by `_`."""
    return identifier(_humps.sub("_", text).lower(), "endpoint")


def words(subject: str) -> str:
    """Return a name for the event of a subject: its parts but for tokens, joined by `_`."""
    parts = [part for part in subject.split(".") if not part.startswith("{")]
    return identifier(_humps.sub("_", "_".join(parts)).lower(), "event")


def class_name(text: str, missing: str = "Value") -> str:
    """Return a class name close to `text`: its words, each with a capital."""
    found = "".join(part[0].upper() + part[1:] for part in _parts(text)) or missing
    if found[0].isdigit():
        found = missing + found
    return f"{found}_" if keyword.iskeyword(found) else found


class Names:
    """The names of one scope, each given once.

    Args:
        taken: names that are not to be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def take(self, name: str, *others: str) -> str:
        """Take a name and return it: the first of these that is free, or `name` with a number."""
        for each in (name, *others):
            if each not in self._taken:
                self._taken.add(each)
                return each
        number = self._numbers.get(name, 2)
        while f"{name}{number}" in self._taken:
            number += 1
        self._numbers[name] = number + 1
        return self.take(f"{name}{number}")


def literal(value: Any) -> str:
    """Return a value of JSON as Python source, with the quotes that a formatter chooses."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _text(value: str) -> str:
    single = repr(value)
    inner = single[1:-1]
    if single[0] == '"' or '"' not in inner:
        return f'"{inner}"'
    if "\\'" in inner:  # the text has both kinds of quotes, so `repr` escaped the single ones
        inner = inner.replace("\\'", "'")
        return '"' + inner.replace('"', '\\"') + '"'
    return single


def docstring(text: str, indent: str) -> list[str]:
    """Return the lines of a docstring, quotes included; no lines for an empty text."""
    text = "".join(letter for letter in text.strip() if letter.isprintable() or letter in "\n\t")
    lines = [line.rstrip() for line in text.replace("\\", "\\\\").splitlines()]
    if not lines:
        return []
    lines = [re.sub('"{3,}', _escaped_quotes, line) for line in lines[:-1]] + [
        re.sub('"{3,}|"+$', _escaped_quotes, lines[-1])  # none may meet the quotes at the end
    ]
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    inner = [f"{indent}{line}" if line else "" for line in lines[1:]]
    return [f'{indent}"""{lines[0]}', *inner, f'{indent}"""']


def _escaped_quotes(found: re.Match[str]) -> str:
    return '\\"' * len(found[0])

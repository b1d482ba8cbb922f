"""Subjects made of subjects: `subject_transform`, and what `republish` publishes under.

In a destination `$1` or `{{wildcard(1)}}` stands for what the first `*` of the source matched, and
a last `>` for what its `>` matched. A real server knows more functions.

Ref: ADR-28, ADR-36.
"""

from __future__ import annotations

import re

from natsrpc.core import matches

from .refusals import lacking, refused

_wildcard = re.compile(r"\$(\d+)|\{\{\s*wildcard\(\s*(\d+)\s*\)\s*\}\}").fullmatch


class Transform:
    """One mapping. An empty destination leaves subjects as they are."""

    def __init__(self, src: str, dest: str) -> None:
        """Read it.

        Raises:
            JetStreamError: it cannot be, or not here.
        """
        self._src = src or ">"
        self._dest = dest.split(".") if dest else []
        wildcards = self._src.split(".").count("*")
        for token in self._dest:
            found = _wildcard(token)
            if found is None and token.startswith("{{"):
                raise lacking(f"the subject mapping {token!r}")
            if found is not None and not 1 <= _number(found) <= wildcards:
                raise refused(10052, why="subject mapping: wildcard index out of range")
        if ("" in self._dest) or (self._dest[-1:] == [">"]) > (self._src[-1:] == ">"):
            raise refused(10052, why="subject mapping: invalid destination")

    def __call__(self, subject: str) -> str | None:
        """Return what a subject becomes; None if it does not match."""
        if not matches(self._src, subject):
            return None
        if not self._dest:
            return subject
        tokens, pattern = subject.split("."), self._src.split(".")
        stars = [token for token, part in zip(tokens, pattern, strict=False) if part == "*"]
        result: list[str] = []
        for part in self._dest:
            found = _wildcard(part)
            if found is not None:
                result.append(stars[_number(found) - 1])
            elif part == ">":
                result += tokens[len(pattern) - 1 :]
            else:
                result.append(part)
        return ".".join(result)


def _number(found: re.Match[str]) -> int:
    return int(found[1] or found[2])

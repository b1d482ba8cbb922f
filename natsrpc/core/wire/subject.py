"""Checks of subjects, queue group names and inbox prefixes, and the matching of subjects.

Everything that writes a name into a control line calls a check first. The server checks almost
nothing: it splits lines at blanks and drops messages that it cannot route. So a stray blank in a
subject would turn into a queue group, and a line break into a second command.

A subject is a sequence of tokens joined by dots. A token is UTF-8 text without blanks, control
characters and dots. The token `*` stands for any one token; `>`, as the last token, stands for one
or more.

Ref: https://docs.nats.io/nats-concepts/subjects, ADR-6.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from natsrpc.errors import BadQueueNameError, BadSubjectError

MAX_SUBJECT_BYTES = 3900
"""The server closes the connection at a control line over 4096 bytes. This leaves room for the
operation, the sid and the sizes."""

MAX_INBOX_PREFIX_BYTES = 128
"""Leaves room on a control line for a long subject beside the inbox."""

_TOKEN = r"[^\x00-\x20\x7f.*>]+"  # noqa: S105  of a subject
_LOOSE_TOKEN = r"[^\x00-\x20\x7f.]+"  # noqa: S105  of a subject
_publishable = re.compile(rf"{_LOOSE_TOKEN}(?:\.{_LOOSE_TOKEN})*").fullmatch
_literal = re.compile(rf"{_TOKEN}(?:\.{_TOKEN})*").fullmatch
_subscribable = re.compile(rf"(?:(?:{_TOKEN}|\*)\.)*(?:{_TOKEN}|\*|>)").fullmatch
_queue_group = re.compile(r"[^\x00-\x20\x7f*>]+").fullmatch

_CACHE_LIMIT = 4096


class _Checked(dict[str, bytes]):
    """Names that were checked already, and their encoded form. Looking up another one checks it.

    Emptied when full, so that a program with ever new subjects does not fill memory.
    """

    __slots__ = ("_check",)

    def __init__(self, check: Callable[[str], bytes]) -> None:
        super().__init__()
        self._check = check

    def __missing__(self, name: str) -> bytes:
        encoded = self._check(name)
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        self[name] = encoded
        return encoded


def check_publish(subject: str) -> bytes:
    """Check a subject to publish to, and return it encoded.

    `*` and `>` are taken: the server delivers to such a subject as it is, and JetStream's API has
    subjects of others within its own.

    Raises:
        BadSubjectError: it is empty, malformed or over 3900 bytes.
    """
    if type(subject) is not str:  # it may not even be hashable
        return check_reply(subject)
    return published[subject]


def check_reply(subject: str) -> bytes:
    """Check a subject as `check_publish` does, without remembering it: for subjects used once, such
    as inboxes.

    Raises:
        BadSubjectError: as for `check_publish`.
    """
    if not isinstance(subject, str):
        raise BadSubjectError(f"subject must be a str, not {subject!r}", subject=subject)
    if _publishable(subject) is None:
        raise BadSubjectError(
            f"bad subject {subject!r}: expected non-empty tokens joined by dots, "
            "without blanks or control characters",
            subject=subject,
        )
    return _encode(subject)


def check_literal(subject: str) -> bytes:
    """Check a subject to call or publish typed values to, and return it encoded: a wildcard in it
    is a mistake there.

    Raises:
        BadSubjectError: it is empty, malformed, holds a wildcard or is over 3900 bytes.
    """
    if type(subject) is not str:  # it may not even be hashable
        return _encode_literal(subject)
    return _literals[subject]


def _encode_literal(subject: str) -> bytes:
    if isinstance(subject, str) and _literal(subject) is None:
        raise BadSubjectError(
            f"bad subject {subject!r}: expected non-empty tokens joined by dots, "
            "without blanks, control characters or wildcards",
            subject=subject,
        )
    return check_reply(subject)


def check_subscribe(subject: str) -> bytes:
    """Check a subject to subscribe to, wildcards allowed, and return it encoded.

    Raises:
        BadSubjectError: it is empty, malformed or over 3900 bytes, a wildcard is not a whole token,
            or `>` is not the last.
    """
    if type(subject) is not str:  # it may not even be hashable
        return _encode_pattern(subject)
    return _subscribed[subject]


def _encode_pattern(subject: str) -> bytes:
    if not isinstance(subject, str):
        raise BadSubjectError(f"subject must be a str, not {subject!r}", subject=subject)
    if _subscribable(subject) is None:
        raise BadSubjectError(
            f"bad subject {subject!r}: expected non-empty tokens joined by dots, "
            "without blanks or control characters, '*' only as a whole token, '>' only as the last",
            subject=subject,
        )
    return _encode(subject)


def check_queue_group(name: str) -> bytes:
    """Check the name of a queue group, and return it encoded; an empty name means none.

    Raises:
        BadQueueNameError: it has blanks, control characters or wildcards, or over 1950 bytes.
    """
    if not isinstance(name, str):
        raise BadQueueNameError(f"queue group must be a str, not {name!r}")
    if not name:
        return b""
    if _queue_group(name) is None:
        raise BadQueueNameError(
            f"bad queue group {name!r}: use text without blanks, control characters or '*', '>'"
        )
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise BadQueueNameError(f"bad queue group {name!r}: not valid Unicode text") from error
    if len(encoded) > MAX_SUBJECT_BYTES // 2:
        raise BadQueueNameError(f"queue group of {len(encoded)} bytes is too long")
    return encoded


def check_fit(name: bytes, other: bytes) -> None:
    """Check that two names fit on one control line: a subject with its reply or queue group.

    Raises:
        BadSubjectError: together they are over 3900 bytes.
    """
    size = len(name) + len(other)
    if size > MAX_SUBJECT_BYTES:
        raise BadSubjectError(
            f"subject and {decode(other)[:40]!r} are too long together: "
            f"{size} bytes, at most {MAX_SUBJECT_BYTES}",
            subject=decode(name),
        )


def check_inbox_prefix(prefix: str) -> str:
    """Check the prefix of all inboxes of a connection, and return it.

    Raises:
        BadSubjectError: it is malformed, has a wildcard, is over 128 bytes, or begins as the
            subjects of servers do.
    """
    if isinstance(prefix, str) and prefix.startswith("$"):
        raise BadSubjectError(
            f"bad inbox prefix {prefix!r}: subjects that begin with `$` are the server's own",
            subject=prefix,
        )
    if len(_encode_literal(prefix)) > MAX_INBOX_PREFIX_BYTES:
        raise BadSubjectError(
            f"inbox prefix of {len(prefix)} characters is too long", subject=prefix
        )
    return prefix


def _encode(subject: str) -> bytes:
    try:
        encoded = subject.encode()
    except UnicodeEncodeError as error:
        raise BadSubjectError(
            f"bad subject {subject!r}: not valid Unicode text", subject=subject
        ) from error
    if len(encoded) > MAX_SUBJECT_BYTES:
        raise BadSubjectError(
            f"subject of {len(encoded)} bytes is too long: at most {MAX_SUBJECT_BYTES}",
            subject=subject,
        )
    return encoded


published: dict[str, bytes] = _Checked(check_reply)
"""`published[subject]` is `check_publish(subject)` without the call of a function, for the hot path
of a publish. The key must be a str."""

_literals = _Checked(_encode_literal)
_subscribed = _Checked(_encode_pattern)


def decode(raw: bytes) -> str:
    """Return a received subject as text: UTF-8, with bytes that are not kept as surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def matches(pattern: str, subject: str) -> bool:
    """Whether a pattern matches a subject without wildcards, by the server's rules."""
    return _match(pattern.split("."), subject.split("."))


def _match(pattern: list[str], tokens: list[str]) -> bool:
    for i, part in enumerate(pattern):
        if part == ">" and i == len(pattern) - 1:
            return len(tokens) > i
        if i >= len(tokens) or part not in ("*", tokens[i]):
            return False
    return len(pattern) == len(tokens)


def overlaps(a: str, b: str) -> bool:
    """Whether there is a subject that both patterns match."""
    left, right = a.split("."), b.split(".")
    for x, y in zip(left, right, strict=False):
        if x == ">" or y == ">":
            return True
        if x != y and x != "*" and y != "*":
            return False
    return len(left) == len(right)


def join(*parts: str) -> str:
    """Join subject parts with dots, leaving out empty ones."""
    return ".".join(part for part in parts if part)

"""Names of services, endpoints and subjects. Checked with `fullmatch`, ASCII only.

An invalid name or version would not fail anywhere: it would make the service invisible to the
`nats` command line, silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from natsrpc.core import check_subscribe
from natsrpc.errors import BadSubjectError, ConfigError

_name = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_not_in_name = re.compile(r"[^A-Za-z0-9_-]+")
_token = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}").fullmatch
_NOT_IN_TOKEN = frozenset(".*> \t\r\n\f\v\0")
# The published expression of SemVer 2.0.0, with [0-9] for \d, which also matches other digits.
# Compiled by `re` when a service is made: it is long, and programs that only call check none.
_VERSION = (
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


def is_name(text: str) -> bool:
    """Whether `text` can name a service or an endpoint."""
    return _name(text) is not None


def check_name(what: str, name: str) -> str:
    """Refuse a bad name.

    Raises:
        ConfigError: it holds anything but letters, digits, `-` and `_`, or nothing.
    """
    if not isinstance(name, str) or not is_name(name):
        raise ConfigError(f"bad {what} name {name!r}: expected letters, digits, '-' and '_'")
    return name


def check_version(version: str) -> str:
    """Refuse what is not a version in the sense of SemVer 2.0.0.

    Raises:
        ConfigError: it is not one.
    """
    if not isinstance(version, str) or re.fullmatch(_VERSION, version) is None:
        raise ConfigError(f"bad version {version!r}: expected a semantic version as in '1.0.0'")
    return version


def check_metadata(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    """A frozen copy of metadata.

    Raises:
        ConfigError: it is no mapping, a key or a value is not a string, or a key starts with the
            reserved `_nats`.
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ConfigError(f"bad metadata {metadata!r}: expected a mapping of strings")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigError(f"bad metadata {key!r}: {value!r}: expected strings")
        if key.startswith("_nats"):
            raise ConfigError(f"bad metadata key {key!r}: keys starting with '_nats' are reserved")
    return MappingProxyType(dict(metadata or {}))


def name_from(subject: str, function_name: str) -> str:
    """An endpoint's name where none was given: its subject if that fits, or the function's."""
    if is_name(subject):
        return subject
    return _not_in_name.sub("_", function_name).strip("_") or "endpoint"


def name_of(template: str) -> str:
    """A name made from a whole subject."""
    return _not_in_name.sub("_", template).strip("_") or "endpoint"


def parse_template(template: str) -> tuple[str, dict[str, int]]:
    """The subject to subscribe to, and the place of each `{token}` in it.

    Raises:
        ConfigError: a token is named twice, or only part of one is in braces.
        BadSubjectError: the subject is malformed.
    """
    if not isinstance(template, str):
        raise BadSubjectError(f"subject must be a str, not {template!r}", subject=template)
    tokens: dict[str, int] = {}
    parts = template.split(".")
    for index, part in enumerate(parts):
        match = _token(part)
        if match is not None:
            if match[1] in tokens:
                raise ConfigError(f"bad subject {template!r}: token {match[1]!r} is named twice")
            tokens[match[1]] = index
            parts[index] = "*"
        elif "{" in part or "}" in part:
            dots = " (a dot, not a slash, ends a part)" if "/" in part else ""
            raise ConfigError(
                f"bad subject {template!r}: {part!r} mixes a token with text; a token in braces "
                f"is a whole part{dots}, as in 'orders.{{user}}.get'"
            )
    subject = ".".join(parts)
    check_subscribe(subject)
    return subject, tokens


def join(prefix: str, subject: str) -> str:
    """A group's prefix before a subject; an empty prefix adds nothing."""
    return f"{prefix}.{subject}" if prefix else subject


def check_prefix(prefix: str) -> str:
    """Refuse a group prefix that could not stand before a subject.

    Raises:
        ConfigError: it is malformed or ends in `>`.
    """
    if not prefix:
        return prefix
    subject, _ = parse_template(prefix)
    if subject.endswith(">"):
        raise ConfigError(f"bad group prefix {prefix!r}: nothing can follow '>'")
    return prefix


def fill(template: str, tokens: Mapping[str, str]) -> str:
    """A subject with values for its `{token}`s.

    Raises:
        ConfigError: a value is missing, too many, or not one token.
    """
    parts = template.split(".")
    left = dict(tokens)
    for index, part in enumerate(parts):
        if part.startswith("{") and part.endswith("}"):
            name = part[1:-1]
            if name not in left:
                raise ConfigError(f"subject {template!r} needs a value for token {name!r}")
            value = str(left.pop(name))
            if not value or not _NOT_IN_TOKEN.isdisjoint(value):
                raise ConfigError(
                    f"token {name!r} is {value!r}: expected one token of a subject, which has no "
                    "'.', '*', '>' and no white space"
                )
            parts[index] = value
    if left:
        raise ConfigError(f"subject {template!r} has no token {next(iter(left))!r}")
    return ".".join(parts)

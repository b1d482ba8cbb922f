"""Message headers: a multi-map that keeps case and order, and its block on the wire.

```
block  = "NATS/1.0" [ status-part ] CRLF *( name ":" *blank value CRLF ) CRLF
status = blank 3DIGIT [ blank description ]       on the first line only
```

Encoding is strict. Decoding is as lenient as the meaning of a block allows, because the server
forwards header blocks unread, so that any publisher can send any bytes.

Ref: ADR-4.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, TypeAlias, TypeVar, overload

from natsrpc.errors import BadHeaderError

VERSION = b"NATS/1.0"
NO_RESPONDERS = b"NATS/1.0 503"

MAX_UNASKED = 64 * 1024
"""Blocks that are longer are read only where somebody asks for their headers: a megabyte of names
takes 130 ms."""

HeaderValues: TypeAlias = "Mapping[str, str | Sequence[str]] | Headers"
"""What is taken as the headers of a message: a name has one value, or several."""

Default = TypeVar("Default")

_sendable_name = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]+").fullmatch
_unsendable_value = re.compile(r"[\r\n\x00]").search


class Headers(Mapping[str, str]):
    """The headers of a message: names with one or more values each, with their case and order kept.

    A lookup takes the exact name, or else the first name that differs in case only. As a mapping it
    holds the first value of each name: `headers["X"]`, `values()`, `dict(headers)`. `get_all("X")`
    are all values of a name, `items()` all of all names. `malformed` tells that a received block
    could not be read; the headers are then empty.

    Args:
        values: names with a value or a sequence of values each, or (name, value) pairs.

    Raises:
        BadHeaderError: a value is neither a str nor a sequence of str.
    """

    __slots__ = ("_values", "malformed")

    def __init__(self, values: HeaderValues | Iterable[tuple[str, str]] | None = None) -> None:
        self._values: dict[str, list[str]] = {}
        self.malformed: bool = False
        if values is None:
            return
        pairs: Iterable[tuple[str, object]]
        pairs = values.items() if hasattr(values, "items") else values
        for name, value in pairs:
            if isinstance(value, str):
                self.add(name, value)
            elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
                for single in value:
                    self.add(name, single)
            else:
                raise BadHeaderError(
                    f"bad value {value!r} of header {name!r}: expected a str or a sequence of str"
                )

    def _find(self, name: str) -> list[str] | None:
        found = self._values.get(name)
        if found is not None:
            return found
        folded = name.lower()
        for key, values in self._values.items():
            if key.lower() == folded:
                return values
        return None

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: Default) -> str | Default: ...
    def get(self, name: str, default: object = None) -> object:
        """Return the first value of a name, or `default`."""
        found = self._find(name)
        return found[0] if found else default

    def get_all(self, name: str) -> list[str]:
        """Return all values of a name, in the order received; empty if there are none."""
        return list(self._find(name) or ())

    def values_of(self, name: str) -> Sequence[str]:
        """Return the values of this exact name, not copied; empty if there are none."""
        return self._values.get(name, ())

    def set(self, name: str, value: str) -> None:
        """Replace all values of this exact name."""
        self._values[name] = [value]

    def add(self, name: str, value: str) -> None:
        """Add one more value to this exact name."""
        self._values.setdefault(name, []).append(value)

    def delete(self, name: str) -> None:
        """Remove all values of this exact name; nothing happens if there are none."""
        self._values.pop(name, None)

    def items(self) -> ItemsView[str, str]:
        """Return a view of the (name, value) pairs; a name with several values comes once for
        each."""
        return Pairs(self)

    def __getitem__(self, name: str) -> str:
        found = self._find(name)
        if not found:
            raise KeyError(name)
        return found[0]

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._values == other._values
        if isinstance(other, Mapping):
            return self._values == Headers(other)._values
        return NotImplemented

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # mutable, as dict is

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"

    def encode(self) -> bytes:
        """Return the block as it is sent, from `NATS/1.0` through the blank line.

        Raises:
            BadHeaderError: a name or value cannot be sent.
        """
        lines = [VERSION]
        lines.extend(_line(name, value) for name, value in self.items())
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @classmethod
    def decode(cls, block: bytes) -> Headers:
        """Return the headers of a received block. Nothing is raised: a block that cannot be read
        gives empty headers that are marked `malformed`.

        A missing blank line at the end is tolerated.
        """
        headers = cls()
        lines = block.split(b"\r\n")
        if not block.startswith(VERSION) or lines[0][8:9] not in (b"", b" ", b"\t"):
            headers.malformed = True
            return headers
        for line in lines[1:]:
            if not line:
                continue
            name, colon, value = line.partition(b":")
            if not colon:
                headers._values.clear()
                headers.malformed = True
                return headers
            if name:
                headers.add(_text(name), _text(value.lstrip(b" \t")))
        return headers


class Pairs(ItemsView[str, str]):
    """All values of all headers, with their names. Given by `Headers.items`."""

    __slots__ = ()

    _mapping: Headers

    def __iter__(self) -> Iterator[tuple[str, str]]:
        headers = self._mapping
        return ((name, value) for name in headers for value in headers.values_of(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, pair: object) -> bool:
        return any(pair == each for each in self)


def encode_headers(values: HeaderValues) -> bytes:
    """Return a mapping of names to a value, or to several, as a block ready to send.

    Raises:
        BadHeaderError: a name or value cannot be sent.
    """
    if type(values) is not dict:  # of a dict, asking the abstract Mapping takes a quarter of all
        if isinstance(values, Headers):
            return values.encode()
        if not isinstance(values, Mapping):
            raise BadHeaderError(f"headers must be a mapping of str to str, not {values!r}")
    lines = [VERSION]
    for name, value in values.items():
        if isinstance(value, str):
            lines.append(_line(name, value))
        elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            lines.extend(_line(name, single) for single in value)
        else:
            raise BadHeaderError(
                f"bad value {value!r} of header {name!r}: expected a str or a sequence of str"
            )
    return b"\r\n".join(lines) + b"\r\n\r\n"


def status_of(block: bytes) -> tuple[int | None, str]:
    """Return the status and description of a block's first line; `(None, "")` if it has none."""
    if block[8:9] not in (b" ", b"\t") or not block.startswith(VERSION):
        return None, ""
    line = block.split(b"\r\n", 1)[0][8:].strip(b" \t")
    code, text = line[:3], line[3:]
    if len(code) == 3 and code.isdigit() and (not text or text[:1] in (b" ", b"\t")):
        return int(code), _text(text.strip(b" \t"))
    return None, ""


def _line(name: str, value: str) -> bytes:
    if not isinstance(name, str) or _sendable_name(name) is None:
        raise BadHeaderError(
            f"bad header name {name!r}: expected visible ASCII without blanks, colons or separators"
        )
    if not isinstance(value, str) or _unsendable_value(value) is not None:
        raise BadHeaderError(
            f"bad value {value!r} of header {name!r}: expected a str without CR, LF or NUL"
        )
    text = value.strip(" \t")
    try:
        return f"{name}: {text}".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadHeaderError(f"bad value of header {name!r}: not valid Unicode text") from error


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

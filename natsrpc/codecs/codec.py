"""The `Codec` protocol: bytes to typed values and back, bound once per type.

A codec reads a type once, in `bind`, and returns two plain functions; no message makes it read the
type again. Both functions raise nothing but `EncodeError` and `DecodeError`, so that callers catch
these two for every format.

A codec of your own needs four names. This one writes comma-separated integers:

```python
from natsrpc import codecs
from natsrpc.errors import DecodeError, EncodeError

class CsvCodec:
    name = "csv"
    content_type = "text/csv"

    def bind(self, type_):
        return codecs.Bound(self.encode, self.decode)

    def encode(self, value):
        try:
            return ",".join(str(int(number)) for number in value).encode()
        except (TypeError, ValueError) as error:
            raise EncodeError("csv takes an iterable of integers") from error

    def decode(self, data):
        try:
            return [int(number) for number in data.split(b",")]
        except ValueError:
            raise DecodeError("not comma-separated integers", malformed=True) from None

    def schema(self, type_, *, mode="validation"):
        return None

codecs.register("csv", CsvCodec())
```

Registered, it is found by its name (`Service("sums", version="1.0.0", codec="csv")`) and by the
content type of a message. It may also be passed as an object wherever a codec's name is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Mode: TypeAlias = Literal["validation", "serialization"]
Encode: TypeAlias = Callable[[Any], bytes]
Decode: TypeAlias = Callable[[bytes], Any]


class Bound:
    """One codec bound to one type: what `Codec.bind` returns.

    `encode(value)` returns bytes or raises `EncodeError`; `decode(data)` returns a value or raises
    `DecodeError`.
    """

    __slots__ = ("decode", "encode")

    def __init__(self, encode: Encode, decode: Decode) -> None:
        self.encode: Encode = encode
        self.decode: Decode = decode


@runtime_checkable
class Codec(Protocol):
    """A format of payloads. Services, clients and `Encoded` bind each of their types by it."""

    @property
    def name(self) -> str:
        """The codec's name, as in "json"; contracts and error messages show it."""
        ...

    @property
    def content_type(self) -> str:
        """The media type of the payloads, as in "application/json": the value of the
        `Content-Type` header."""
        ...

    def bind(self, type_: Any) -> Bound:
        """Return the two functions for one type.

        `None` means the empty payload, `bytes` the payload as it is, and `Any` the codec's natural
        form (plain data for JSON, bytes for raw).

        Raises:
            ConfigTypeError: the codec can never carry this type.
        """
        ...

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return the JSON Schema of a type, or None if the codec has none for it.

        `mode` "validation" describes the payloads that `decode` takes, "serialization" those that
        `encode` writes.
        """
        ...


class BindCache:
    """The types that a codec has bound. A codec's `bind` asks it first, because calls that name
    their type bind it each time.

    Types are looked up by equality, because `list[int]` is a new object wherever it is written.
    `int | str` and `str | int` are equal, too, but may validate differently, so an entry with a
    union in it also compares the spelling.
    """

    LIMIT = 4096
    """Entries; a full cache is emptied, so that types made at run time do not pile up."""

    __slots__ = ("_equal", "_same")

    def __init__(self) -> None:
        self._equal: dict[Any, tuple[Bound, Any, str]] = {}
        self._same: dict[int, tuple[Bound, Any]] = {}

    def find(self, type_: Any) -> Bound | None:
        """Return the functions bound to this type, or None."""
        try:
            entry = self._equal.get(type_)
        except TypeError:  # unhashable, as Annotated with a list in it
            same = self._same.get(id(type_))
            return None if same is None else same[0]
        if entry is None or (entry[2] and entry[1] is not type_ and entry[2] != repr(type_)):
            return None
        return entry[0]

    def keep(self, type_: Any, bound: Bound) -> Bound:
        """Remember `bound` and return it."""
        if len(self._equal) + len(self._same) >= self.LIMIT:
            self._equal.clear()
            self._same.clear()
        spelling = "" if isinstance(type_, type) else repr(type_)
        if "|" not in spelling and "Union" not in spelling and "Optional" not in spelling:
            spelling = ""
        try:
            self._equal[type_] = (bound, type_, spelling)
        except TypeError:
            self._same[id(type_)] = (bound, type_)  # holding the type keeps its id taken
        return bound

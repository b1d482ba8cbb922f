"""The protocol, a codec of one's own, and what is remembered of a bind."""

from __future__ import annotations

from typing import Annotated, Any, Optional, Union

import pytest
from pydantic import Field

from natsrpc import codecs
from natsrpc.codecs import BindCache, Bound
from natsrpc.errors import DecodeError, EncodeError


def bound() -> Bound:
    return Bound(lambda value: b"", lambda data: None)


class CsvCodec:
    """The example of the module's docstring."""

    name = "csv"
    content_type = "text/csv"

    def bind(self, type_: Any) -> Bound:
        return Bound(self.encode, self.decode)

    def encode(self, value: Any) -> bytes:
        try:
            return ",".join(str(int(number)) for number in value).encode()
        except (TypeError, ValueError) as error:
            raise EncodeError("csv takes an iterable of integers") from error

    def decode(self, data: bytes) -> Any:
        try:
            return [int(number) for number in data.split(b",")]
        except ValueError:
            raise DecodeError("not comma-separated integers", malformed=True) from None

    def schema(self, type_: Any, *, mode: str = "validation") -> dict[str, Any] | None:
        return None


@pytest.mark.parity("N1")
def test_a_codec_of_one_s_own_is_four_names() -> None:
    codec: codecs.Codec = CsvCodec()
    assert isinstance(codec, codecs.Codec)
    numbers = codec.bind(list[int])
    assert numbers.decode(numbers.encode([1, 2, 3])) == [1, 2, 3]
    with pytest.raises(EncodeError):
        numbers.encode(5)
    with pytest.raises(DecodeError):
        numbers.decode(b"x")


def test_the_built_in_codecs_are_codecs() -> None:
    for name in codecs.names():
        assert isinstance(codecs.get(name), codecs.Codec)


def test_a_type_written_twice_is_bound_once() -> None:
    cache = BindCache()
    first = cache.keep(list[int], bound())
    assert cache.find(list[int]) is first
    assert cache.find(list[str]) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (int | str, str | int),
        (list[int | str], list[str | int]),
        (Union[int, str], Union[str, int]),  # noqa: UP007 - the old spelling is meant
    ],
)
def test_unions_in_another_order_are_other_types(one: Any, other: Any) -> None:
    cache = BindCache()
    first = cache.keep(one, bound())
    assert one == other
    assert cache.find(one) is first
    assert cache.find(other) is None


def test_a_union_spelled_again_is_found() -> None:
    cache = BindCache()
    first = cache.keep(Optional[list[int]], bound())  # noqa: UP045 - the old spelling is meant
    assert cache.find(Optional[list[int]]) is first  # noqa: UP045


def test_an_unhashable_type_is_found_by_identity() -> None:
    cache = BindCache()
    type_ = Annotated[int, ["unhashable"]]
    assert cache.find(type_) is None
    first = cache.keep(type_, bound())
    assert cache.find(type_) is first
    assert cache.find(Annotated[int, ["unhashable"]]) is None


def test_the_cache_does_not_grow_without_end() -> None:
    cache = BindCache()
    kept = [type(f"T{number}", (), {}) for number in range(BindCache.LIMIT + 1)]
    for type_ in kept:
        cache.keep(type_, bound())
    assert cache.find(kept[-1]) is not None
    assert cache.find(kept[0]) is None


@pytest.mark.parametrize("name", ["json", "msgpack", "text"])
def test_binding_again_gives_the_same_functions(name: str) -> None:
    codec = codecs.get(name)
    assert codec.bind(int) is codec.bind(int)


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_constraints_tell_types_apart(name: str) -> None:
    codec = codecs.get(name)
    data = codec.bind(int).encode(5)
    assert codec.bind(Annotated[int, Field(lt=9)]).decode(data) == 5
    with pytest.raises(DecodeError):
        codec.bind(Annotated[int, Field(lt=3)]).decode(data)

"""MessagePack: native where it can be, JSON's forms where it cannot, and bounded."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import time
import uuid
from typing import Any, TypedDict

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError, DecodeError, EncodeError

# A busy machine is no failure.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MSGPACK = codecs.get("msgpack")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Inner(BaseModel):
    blob: bytes = b"\x00\xff"
    number: int = 1


class Everything(BaseModel):
    when: dt.datetime = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    naive: dt.datetime = dt.datetime(2026, 1, 2)  # noqa: DTZ001 - naive ones travel too
    day: dt.date = dt.date(2026, 1, 2)
    span: dt.timedelta = dt.timedelta(seconds=90)
    key: uuid.UUID = uuid.UUID(int=7)
    price: decimal.Decimal = decimal.Decimal("1.10")
    color: Color = Color.RED
    level: Level = Level.HIGH
    path: pathlib.PurePosixPath = pathlib.PurePosixPath("/tmp/x")
    tags: set[int] = {1, 2}
    frozen: frozenset[str] = frozenset({"a"})
    line: collections.deque[int] = collections.deque([1])
    pair: tuple[int, str] = (1, "x")
    by_number: dict[int, str] = {1: "one"}
    by_key: dict[uuid.UUID, int] = {uuid.UUID(int=7): 1}
    maybe: int | None = None
    inner: Inner = Inner()
    many: list[Inner] = [Inner()]
    anything: Any = None


class Pair(TypedDict):
    a: int
    b: str


def test_a_model_of_everything_comes_back_equal() -> None:
    bound = MSGPACK.bind(Everything)
    assert bound.decode(bound.encode(Everything())) == Everything()


def test_bytes_stay_bytes_and_the_rest_is_readable_by_anyone() -> None:
    plain = msgpack.unpackb(MSGPACK.bind(Everything).encode(Everything()), strict_map_key=False)
    assert plain["inner"] == {"blob": b"\x00\xff", "number": 1}
    assert plain["when"] == "2026-01-02T03:04:05.000006Z"
    assert plain["key"] == str(uuid.UUID(int=7))
    assert (plain["color"], plain["level"], plain["price"]) == ("red", 3, "1.10")


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, 5),
        (float, 1.5),
        (str, "ż"),
        (bool, True),
        (Any, {"a": [1, None, b"\xff"]}),
        (Any, None),
        (Pair, {"a": 1, "b": "x"}),
        (list[Pair], [{"a": 1, "b": "x"}]),
        (int | None, None),
        (dict[int, int], {1: 2}),
        (dt.datetime, dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
        (Color, Color.RED),
        (uuid.UUID, uuid.UUID(int=1)),
        (set[int], {1, 2}),
    ],
)
def test_both_ways(type_: Any, value: Any) -> None:
    bound = MSGPACK.bind(type_)
    assert bound.decode(bound.encode(value)) == value


def test_aliases_are_written_and_read() -> None:
    class Aliased(BaseModel):
        inner_name: int = Field(alias="outerName")

    bound = MSGPACK.bind(Aliased)
    data = bound.encode(Aliased(outerName=1))
    assert msgpack.unpackb(data) == {"outerName": 1}
    assert bound.decode(data) == Aliased(outerName=1)
    untyped = MSGPACK.bind(Any).encode([Aliased(outerName=1)])
    assert msgpack.unpackb(untyped) == [{"outerName": 1}]


def test_a_timestamp_of_others_is_read() -> None:
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert MSGPACK.bind(dt.datetime).decode(msgpack.packb(moment, datetime=True)) == moment


def test_untyped_bytes_are_the_payload() -> None:
    assert MSGPACK.bind(Any).encode(b"\xff") == b"\xff"


def test_a_boolean_returned_as_an_integer_is_written_as_one() -> None:
    assert MSGPACK.bind(int).encode(True) == b"\x01"
    assert MSGPACK.bind(int).encode(7) == b"\x07"


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, "x"),
        (list[int], ["x"]),
        (Pair, {"a": 1}),
        (Inner, {"number": "x"}),
        (Any, object()),
        (Any, 2**64),
        (Inner, Inner(number=2**64)),
        (Any, "\ud800"),
    ],
)
def test_what_cannot_be_written(type_: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        MSGPACK.bind(type_).encode(value)


def test_a_dict_stands_for_a_model() -> None:
    bound = MSGPACK.bind(Inner)
    assert bound.decode(bound.encode({"number": 5})) == Inner(number=5)


def test_a_failing_serializer_is_an_encode_error() -> None:
    class Fails(BaseModel):
        value: int

        @field_serializer("value")
        def fail(self, value: int) -> int:
            return 1 // value

    with pytest.raises(EncodeError, match="Fails"):
        MSGPACK.bind(Fails).encode(Fails(value=0))


def test_nesting_beyond_the_limits_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(EncodeError):
        MSGPACK.bind(Any).encode(deep)


@pytest.mark.parametrize("type_", [Color, list[Color], ipaddress.IPv4Address])
def test_a_nested_value_where_a_plain_one_belongs_is_refused(type_: Any) -> None:
    with pytest.raises(DecodeError):  # from Python 3.12 on, the nesting itself is no matter
        MSGPACK.bind(type_).decode(b"\x91" * 1000 + b"\xc0")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc1", "malformed"),
        (b"\x91" * 100_000, "nested too deeply"),
        (b"\x81\xa1a" * 100_000, "nested too deeply"),
        (b"\xdd\xff\xff\xff\xff", "malformed"),
        (b"\xdf\xff\xff\xff\xff", "malformed"),
        (b"\xc6\xff\xff\xff\xff", "malformed"),
        (b"\xdb\xff\xff\xff\xff", "malformed"),
        (b"\xdd\x00\x0f\x42\x40" * 200_000, ""),
        (b"\x01\x01", "data after the value"),
        (b"\xa1\xff", "not UTF-8"),
        (b"\xd4\x05\x01", "malformed"),
        (b"\x81\x90\x01", "malformed"),
        (b"\x81\x01\x01", "malformed"),
        (b"\x92\x01", "malformed"),
    ],
)
def test_hostile_input_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=f"not MessagePack: .*{reason}") as caught:
        MSGPACK.bind(Any).decode(data)
    assert caught.value.malformed
    with pytest.raises(DecodeError):
        MSGPACK.bind(dict[int, list[int]]).decode(data)


def test_arrays_that_promise_more_than_they_hold_cost_no_more_in_a_larger_message() -> None:
    """Each of a thousand nested arrays declares as many items as the message has bytes left. Older
    versions of the library made room for all of them: 0.16 s for 64 KiB, 2.9 s for a MiB."""

    def seconds(size: int) -> float:
        declared = (size - 6000).to_bytes(4, "big")
        began = time.process_time()
        with pytest.raises(DecodeError):
            MSGPACK.bind(Inner).decode((b"\xdd" + declared) * 1000 + b"\xc0" * (size - 5000))
        return time.process_time() - began

    small = min(seconds(64 * 1024) for _ in range(3))
    assert min(seconds(1024 * 1024) for _ in range(3)) < 8 * small + 0.05


def test_invalid_values_are_named() -> None:
    with pytest.raises(DecodeError) as caught:
        MSGPACK.bind(list[Inner]).decode(msgpack.packb([{"number": True}, {"number": "x"}]))
    assert [error["path"] for error in caught.value.errors] == ["0.number", "1.number"]
    assert not caught.value.malformed


def test_an_empty_payload() -> None:
    assert MSGPACK.bind(int | None).decode(b"") is None
    with pytest.raises(DecodeError, match="empty") as caught:
        MSGPACK.bind(int).decode(b"")
    assert caught.value.malformed


@pytest.mark.parametrize("value", ["5", 5.0])
def test_an_integer_in_other_forms(value: Any) -> None:
    assert MSGPACK.bind(int).decode(msgpack.packb(value)) == 5


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: dt.datetime = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    key: uuid.UUID = uuid.UUID(int=7)
    color: Color = Color.RED
    tags: set[int] = {1}
    blob: bytes = b"\x00\xff"
    number: int = 1


def test_a_strict_model_reads_what_it_wrote() -> None:
    bound = MSGPACK.bind(Strict)
    assert bound.decode(bound.encode(Strict())) == Strict()
    with pytest.raises(DecodeError) as caught:
        bound.decode(msgpack.packb({"number": "5", "when": 5}))
    assert [error["path"] for error in caught.value.errors] == ["when", "number"]


def test_a_strict_model_refuses_what_json_could_not_say() -> None:
    with pytest.raises(DecodeError) as caught:
        MSGPACK.bind(Strict).decode(msgpack.packb({"when": {b"\xff": 1}}))
    assert caught.value.malformed or caught.value.errors


def test_schemas_are_those_of_json() -> None:
    assert MSGPACK.schema(Pair) == codecs.get("json").schema(Pair)
    assert MSGPACK.schema(bytes) is None
    with pytest.raises(ConfigTypeError):
        MSGPACK.schema(object())


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@RELAXED
@given(values.filter(lambda value: not isinstance(value, bytes)))
def test_any_value_comes_back_equal(value: Any) -> None:
    bound = MSGPACK.bind(Any)
    assert bound.decode(bound.encode(value)) == value


@RELAXED
@given(st.binary(max_size=200), st.sampled_from([Any, int, Everything, dict[int, Any]]))
def test_garbage_gives_a_value_or_a_decode_error(data: bytes, type_: Any) -> None:
    try:
        MSGPACK.bind(type_).decode(data)
    except DecodeError as error:
        assert error.malformed or error.errors

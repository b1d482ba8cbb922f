"""The scalars' text form, both ways: the Go client's default encoder."""

from __future__ import annotations

import enum
import math
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natsrpc import codecs
from natsrpc.errors import DecodeError, EncodeError

# A busy machine is no failure.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = codecs.get("text")


class Level(enum.IntEnum):
    HIGH = 3


class Color(enum.StrEnum):
    RED = "red"


WRITTEN: list[tuple[Any, bytes]] = [
    ("", b""),
    ("żółw", "żółw".encode()),
    (b"\x00\xff", b"\x00\xff"),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"ab"), b"ab"),
    (None, b""),
    (True, b"true"),
    (False, b"false"),
    (0, b"0"),
    (-7, b"-7"),
    (2**63 - 1, b"9223372036854775807"),
    (-(2**63), b"-9223372036854775808"),
    (Level.HIGH, b"3"),
    (Color.RED, b"red"),
    (22.0, b"22"),
    (22.22, b"22.22"),
    (1e20, b"1e+20"),
    (123456789.0, b"123456789"),
    (-0.0, b"-0"),
    (1e-7, b"1e-07"),
    (math.nan, b"NaN"),
    (math.inf, b"+Inf"),
    (-math.inf, b"-Inf"),
]


@pytest.mark.parametrize(("value", "data"), WRITTEN)
@pytest.mark.parity("N3", "N4")
def test_what_is_written(value: Any, data: bytes) -> None:
    assert TEXT.bind(Any).encode(value) == data
    for type_ in (str, int, float, bool, bytes):
        if type(value) is type_:
            assert TEXT.bind(type_).encode(value) == data


@pytest.mark.parametrize(
    "value", [[1, 2], {"a": 2}, {1}, (1,), object(), 1j, 2**63, -(2**63) - 1, "\ud800"]
)
def test_what_cannot_be_read_back_is_not_written(value: Any) -> None:
    with pytest.raises(EncodeError):
        TEXT.bind(Any).encode(value)


@pytest.mark.parity("N5")
def test_a_value_without_a_text_form_points_to_json() -> None:
    with pytest.raises(EncodeError, match="json"):
        TEXT.bind(Any).encode([1, 2])
    with pytest.raises(EncodeError, match="json"):
        TEXT.bind(list[int]).encode([1, 2])


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (str, 1),
        (str, b"x"),
        (int, "1"),
        (int, True),
        (int, 1.0),
        (float, "1"),
        (float, True),
        (bool, 1),
    ],
)
def test_a_value_of_another_type_is_refused(type_: Any, value: Any) -> None:
    with pytest.raises(EncodeError, match="expected"):
        TEXT.bind(type_).encode(value)


def test_an_int_is_a_number_too() -> None:
    assert TEXT.bind(float).encode(3) == b"3"
    with pytest.raises(EncodeError):
        TEXT.bind(float).encode(10**400)


READ: list[tuple[Any, bytes, Any]] = [
    (str, b"plain", "plain"),
    (str, b"", ""),
    (bytes, b"\xff", b"\xff"),
    (int, b"22", 22),
    (int, b"+22", 22),
    (int, b"-022", -22),
    (int, b"0" * 5000 + b"1", 1),
    (int, b"-9223372036854775808", -(2**63)),
    (float, b"22", 22.0),
    (float, b".5", 0.5),
    (float, b"5.", 5.0),
    (float, b"-1.5E+3", -1500.0),
    (float, b"inf", math.inf),
    (float, b"+Inf", math.inf),
    (float, b"-INFINITY", -math.inf),
    (bool, b"1", True),
    (bool, b"t", True),
    (bool, b"T", True),
    (bool, b"true", True),
    (bool, b"TRUE", True),
    (bool, b"True", True),
    (bool, b"0", False),
    (bool, b"f", False),
    (bool, b"F", False),
    (bool, b"false", False),
    (bool, b"FALSE", False),
    (bool, b"False", False),
    (Any, b"12", b"12"),
    (None, b"12", None),
    (Optional[int], b"", None),  # noqa: UP045 - the old spelling is meant
    (int | None, b"5", 5),
    (str | None, b"", None),
]


@pytest.mark.parametrize(("type_", "data", "value"), READ)
@pytest.mark.parity("N6", "N7", "N8", "N9")
def test_what_is_read(type_: Any, data: bytes, value: Any) -> None:
    decoded = TEXT.bind(type_).decode(data)
    assert decoded == value
    assert type(decoded) is type(value)


def test_not_a_number_is_read_in_any_case() -> None:
    assert all(math.isnan(TEXT.bind(float).decode(data)) for data in (b"nan", b"NaN", b"NAN"))


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        *((int, data) for data in (b"", b" 1", b"1 ", b"1\n", b"22.0", b"0x10", b"1_000", b"--1")),
        *((int, data) for data in (b"9223372036854775808", b"-9223372036854775809", b"9" * 5000)),
        (int, "٣".encode()),
        *((float, data) for data in (b"", b" 1.5", b"1.5 ", b"1e400", b"-1e400", b"0x1p4", b".")),
        *((float, data) for data in (b"1_0.0", b"1e", b"+nan", b"infinit", b"1" * 400)),
        *((bool, data) for data in (b"", b"yes", b"tRUE", b"true ", b"2")),
        (str, b"\xff"),
    ],
)
@pytest.mark.parity("N6", "N7", "N8", "N9")
def test_what_is_not_read(type_: Any, data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        TEXT.bind(type_).decode(data)
    assert caught.value.malformed


@pytest.mark.parametrize("type_", [list[int], dict[str, Any], tuple[int, ...], complex, int | str])
@pytest.mark.parity("N10")
def test_other_types_do_not_decode(type_: Any) -> None:
    with pytest.raises(DecodeError, match="json"):
        TEXT.bind(type_).decode(b"1")


def test_text_has_no_json_schema() -> None:
    assert TEXT.schema(int) is None


@RELAXED
@given(
    st.one_of(
        st.integers(min_value=-(2**63), max_value=2**63 - 1),
        st.floats(allow_nan=False),
        st.booleans(),
        st.text(),
        st.binary(),
    )
)
def test_everything_written_is_read_back_equal(value: Any) -> None:
    bound = TEXT.bind(type(value))
    decoded = bound.decode(bound.encode(value))
    assert decoded == value
    assert str(decoded) == str(value)


@RELAXED
@given(st.binary(), st.sampled_from([int, float, bool, str]))
def test_garbage_gives_a_value_or_a_decode_error(data: bytes, type_: Any) -> None:
    try:
        decoded = TEXT.bind(type_).decode(data)
    except DecodeError:
        return
    assert type(decoded) is type_

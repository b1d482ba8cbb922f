"""JSON: what is written, what is read, what is refused, and how it is said."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import uuid
from typing import Annotated, Any, Generic, Literal, NotRequired, Optional, TypedDict, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    field_serializer,
    field_validator,
)
from pydantic_core import core_schema

from natsrpc import codecs
from natsrpc.errors import DecodeError, EncodeError

# A busy machine is no failure.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

JSON = codecs.get("json")
T = TypeVar("T")


class Question(BaseModel):
    topic: str
    depth: int = 0


class Open(BaseModel, extra="allow"):
    pass


class Color(enum.Enum):
    RED = "red"


class Person(TypedDict):
    name: str
    age: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


class Everything(BaseModel):
    when: dt.datetime = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    day: dt.date = dt.date(2026, 1, 2)
    span: dt.timedelta = dt.timedelta(seconds=90)
    key: uuid.UUID = uuid.UUID(int=7)
    price: decimal.Decimal = decimal.Decimal("1.10")
    color: Color = Color.RED
    point: Point = Point(1)
    tags: set[int] = {1, 2}
    pair: tuple[int, str] = (1, "x")
    by_number: dict[int, str] = {1: "one"}
    blob: bytes = b"\xff\xfe>?"
    maybe: int | None = None
    kind: Literal["a", 1] = 1
    either: int | str = "5"
    anything: Any = None
    questions: list[Question] = [Question(topic="a")]


class Tree(BaseModel):
    children: list[Tree] = []


class Box(BaseModel, Generic[T]):
    value: T


class Measure(BaseModel):
    value: float = 1.0
    note: str | None = None


ROUND_TRIPS: list[tuple[Any, Any, bytes]] = [
    (Question, Question(topic="ż"), '{"topic":"ż","depth":0}'.encode()),
    (Person, {"name": "ann"}, b'{"name":"ann"}'),
    (list[Person], [{"name": "ann", "age": 3}], b'[{"name":"ann","age":3}]'),
    (Person | None, None, b"null"),
    (dict[str, Person], {"x": {"name": "ann"}}, b'{"x":{"name":"ann"}}'),
    (Annotated[Person, "note"], {"name": "ann"}, b'{"name":"ann"}'),
    (Point, Point(1, 2.5), b'{"x":1,"y":2.5}'),
    (Color, Color.RED, b'"red"'),
    (dt.datetime, dt.datetime(2026, 1, 2, tzinfo=dt.UTC), b'"2026-01-02T00:00:00Z"'),
    (uuid.UUID, uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
    (decimal.Decimal, decimal.Decimal("0.10"), b'"0.10"'),
    (int, 2**80, b"1208925819614629174706176"),
    (bool, True, b"true"),
    (float, 22.0, b"22.0"),
    (str, 'a "quoted"\n', b'"a \\"quoted\\"\\n"'),
    (Optional[int], None, b"null"),  # noqa: UP045 - the old spelling is meant
    (int | str, "5", b'"5"'),
    (list[Question], [Question(topic="a")], b'[{"topic":"a","depth":0}]'),
    (dict[int, str], {1: "a"}, b'{"1":"a"}'),
    (set[int], {1}, b"[1]"),
    (Any, {"a": [1, None, "x"]}, b'{"a":[1,null,"x"]}'),
    (Any, None, b"null"),
    (Box[int], Box[int](value=1), b'{"value":1}'),
    (RootModel[list[int]], RootModel[list[int]]([1]), b"[1]"),
    (Literal["a"], "a", b'"a"'),
]


@pytest.mark.parametrize(("type_", "value", "data"), ROUND_TRIPS)
@pytest.mark.parity("N11")
def test_both_ways(type_: Any, value: Any, data: bytes) -> None:
    bound = JSON.bind(type_)
    assert bound.encode(value) == data
    assert bound.decode(data) == value


def test_a_model_of_everything_comes_back_equal() -> None:
    bound = JSON.bind(Everything)
    assert bound.decode(bound.encode(Everything())) == Everything()


def test_a_recursive_model_comes_back_equal() -> None:
    bound = JSON.bind(Tree)
    tree = Tree(children=[Tree(children=[Tree()]), Tree()])
    assert bound.decode(bound.encode(tree)) == tree


def test_nested_bytes_are_standard_base64_and_both_alphabets_are_read() -> None:
    class Blob(BaseModel):
        blob: bytes

    bound = JSON.bind(Blob)
    assert bound.encode(Blob(blob=b"\xff\xfe>?")) == b'{"blob":"//4+Pw=="}'
    for text in (b"//4+Pw==", b"__4-Pw=="):
        assert bound.decode(b'{"blob":"' + text + b'"}').blob == b"\xff\xfe>?"
    schema = JSON.schema(Blob)
    assert schema is not None
    assert schema["properties"]["blob"]["contentEncoding"] == "base64"


def test_a_model_s_own_settings_win() -> None:
    class Plain(BaseModel):
        model_config = ConfigDict(
            ser_json_bytes="utf8", val_json_bytes="utf8", ser_json_inf_nan="strings"
        )
        blob: bytes
        value: float = 0.0

    bound = JSON.bind(Plain)
    data = bound.encode(Plain(blob=b"text", value=math.inf))
    assert data == b'{"blob":"text","value":"Infinity"}'
    assert bound.decode(data) == Plain(blob=b"text", value=math.inf)


def test_aliases_are_written_and_read() -> None:
    class Aliased(BaseModel):
        inner_name: int = Field(alias="outerName")

    bound = JSON.bind(Aliased)
    data = bound.encode(Aliased(outerName=1))
    assert data == b'{"outerName":1}'
    assert bound.decode(data) == Aliased(outerName=1)
    with pytest.raises(DecodeError):
        bound.decode(b'{"OUTERNAME":1}')


def test_names_are_written_where_aliases_are_not_read() -> None:
    class ByName(BaseModel):
        model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
        inner_name: int = Field(alias="outerName")

    bound = JSON.bind(ByName)
    value = ByName.model_validate({"inner_name": 1})
    assert bound.decode(bound.encode(value)) == value


# --- what encoding refuses


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (float, math.nan),
        (float, -math.inf),
        (list[float], [1.0, math.inf]),
        (dict[str, float], {"a": math.nan}),
        (Measure, Measure(value=math.nan)),
        (Point, Point(1, math.nan)),
        (Any, math.nan),
        (Any, {"deep": [{"er": math.inf}]}),
        (Any, [Measure(value=math.nan)]),
        (Any, Measure(value=math.inf)),
        (list, [Measure(value=math.nan, note=None)]),
    ],
)
@pytest.mark.parity("N11")
def test_nan_and_the_infinities_are_not_json(type_: Any, value: Any) -> None:
    with pytest.raises(EncodeError, match="not JSON"):
        JSON.bind(type_).encode(value)


TOO_LARGE = (b"1e999", b"-1E+0400", b"1" * 400 + b".5", b"1" * 250 + b"e99")


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity", *TOO_LARGE])
@pytest.mark.parametrize(
    ("type_", "form"),
    [
        (float, b"%b"),
        (float, b'"%b"'),
        (float | None, b"%b"),
        (int, b"%b"),
        (float | int, b"%b"),
        (list[float], b"[1,%b]"),
        (dict[str, float], b'{"a":%b}'),
        (Measure, b'{"value":%b}'),
        (Measure, b'{"value":"%b"}'),
        (Point, b'{"x":1,"y":%b}'),
        (Annotated[float, Field(gt=-math.inf)], b"%b"),
        (Annotated[float, Field(allow_inf_nan=True)], b"%b"),
        (decimal.Decimal, b"%b"),
        (Any, b"%b"),
        (list, b"[[%b]]"),
        (dict[str, Any], b'{"a":{"b":%b}}'),
        (JsonValue, b"[%b]"),
        (Open, b'{"a":[%b]}'),
        (codecs.fields({"a": (float, codecs.REQUIRED), "b": (int, 1)}), b'{"a":%b}'),
    ],
)
def test_nan_and_the_infinities_are_not_read(type_: Any, form: bytes, constant: bytes) -> None:
    with pytest.raises(DecodeError):
        JSON.bind(type_).decode(form % constant)


def test_nan_as_text_is_read_where_its_author_says_so() -> None:
    class Asked(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan="strings")
        value: float

    class Allowed(BaseModel):
        value: Annotated[float, Field(allow_inf_nan=True)]

    for type_ in (Asked, Allowed):
        assert math.isnan(JSON.bind(type_).decode(b'{"value":"NaN"}').value)
        with pytest.raises(DecodeError):
            JSON.bind(type_).decode(b'{"value":NaN}')


def test_numbers_that_a_float_holds_are_read() -> None:
    text = b'[1e308,0e999,1e-999,"1e999","%b",%b]' % (b"1" * 400, b"1" * 400)
    assert JSON.bind(Any).decode(text) == [1e308, 0.0, 0.0, "1e999", "1" * 400, int("1" * 400)]


def test_a_value_that_its_type_has_no_room_for_is_nested_too_deeply() -> None:
    with pytest.raises(DecodeError, match="nested too deeply") as caught:
        JSON.bind(re.Pattern).decode(json.dumps("(" * 5000).encode())
    assert caught.value.malformed


def test_text_that_spells_nan_is_read_as_text() -> None:
    assert JSON.bind(Any).decode(b'["NaN","Infinity"]') == ["NaN", "Infinity"]
    assert JSON.bind(str).decode(b"NaN") == "NaN"
    assert JSON.bind(dict[str, Any]).decode(b'{"NaN":"Infinity"}') == {"NaN": "Infinity"}


def test_text_that_spells_nan_is_text() -> None:
    assert JSON.bind(Any).encode(["NaN", "Infinity"]) == b'["NaN","Infinity"]'
    assert JSON.bind(dict[str, float]).encode({"NaN": 1.0}) == b'{"NaN":1.0}'
    assert JSON.bind(Measure).encode(Measure(note="NaN")) == b'{"value":1.0,"note":"NaN"}'
    assert JSON.bind(Any).encode([Measure(), {1: (None,)}])


def test_nan_from_a_custom_serializer_is_found() -> None:
    class Odd(BaseModel):
        value: int

        @field_serializer("value")
        def as_float(self, value: int) -> float:
            return math.nan

    with pytest.raises(EncodeError):
        JSON.bind(Odd).encode(Odd(value=1))


def test_an_unserializable_value_in_an_untyped_place_is_refused() -> None:
    class Loose(BaseModel):
        value: Any

    with pytest.raises(EncodeError, match="Loose"):
        JSON.bind(Loose).encode(Loose(value=object()))


def test_a_list_of_no_type_is_searched_for_nan() -> None:
    class Bare(list[Any]):
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.list_schema()

    with pytest.raises(EncodeError, match="not JSON"):
        JSON.bind(Bare).encode([math.nan])


def test_extra_fields_are_searched_for_nan_too() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str

    with pytest.raises(EncodeError):
        JSON.bind(Open).encode(Open(name="x", more=math.nan))  # type: ignore[call-arg]  # an extra


@pytest.mark.parametrize(
    ("type_", "value", "where"),
    [
        (int, "five", "valid integer"),
        (int, None, "valid integer"),
        (str, 5, "valid string"),
        (list[int], ["x"], "0: "),
        (Question, {"depth": 1}, "topic: Field required"),
        (Question, None, "Question"),
        (Person, {"age": 1}, "name: Field required"),
        (dict[str, int], {"a": "x"}, "a: "),
        (Point, Point("x"), "Point"),  # type: ignore[arg-type]  # a dataclass does not check
        (Any, object(), "Any"),
    ],
)
def test_a_value_of_another_type_is_refused(type_: Any, value: Any, where: str) -> None:
    with pytest.raises(EncodeError, match=where):
        JSON.bind(type_).encode(value)


def test_what_validates_as_the_type_is_written() -> None:
    assert JSON.bind(Question).encode({"topic": "a"}) == b'{"topic":"a","depth":0}'
    assert JSON.bind(list[int]).encode((1, 2)) == b"[1,2]"
    assert JSON.bind(Point).encode({"x": 1}) == b'{"x":1,"y":0.0}'


def test_a_subclass_is_written_as_the_type_asked_for() -> None:
    class Long(Question):
        more: str = "secret"

    assert JSON.bind(Question).encode(Long(topic="a")) == b'{"topic":"a","depth":0}'


def test_a_failing_serializer_is_an_encode_error_and_the_next_value_is_fine() -> None:
    class Fails(BaseModel):
        value: int

        @field_serializer("value")
        def fail(self, value: int) -> int:
            return 1 // value

    bound = JSON.bind(Fails)
    with pytest.raises(EncodeError, match="Fails"):
        bound.encode(Fails(value=0))
    assert bound.encode(Fails(value=1)) == b'{"value":1}'


def test_a_failing_validator_while_converting_is_an_encode_error() -> None:
    class Fails(BaseModel):
        value: int

        @field_validator("value")
        @classmethod
        def fail(cls, value: int) -> int:
            raise KeyError(value)

    with pytest.raises(EncodeError, match="KeyError"):
        JSON.bind(Fails).encode({"value": 1})


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"]])
def test_a_lone_surrogate_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError):
        JSON.bind(Any).encode(value)


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(EncodeError):
        JSON.bind(Any).encode(circle)


def test_untyped_bytes_are_the_payload() -> None:
    encode = JSON.bind(Any).encode
    assert encode(b"\xff") == encode(bytearray(b"\xff")) == encode(memoryview(b"\xff")) == b"\xff"


# --- what decoding takes and refuses


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'"quoted \\"text\\" \\u017c"', 'quoted "text" ż'),
        (b' "spaced" ', "spaced"),
        (b"plain text", "plain text"),
        (b"", ""),
        (b'"', '"'),
        (b'"half', '"half'),
        (b"12", "12"),
        (b"null", "null"),
        (b'["x"]', '["x"]'),
        (b'"\\ud800', '"\\ud800'),
        ("żółw".encode(), "żółw"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
@pytest.mark.parity("N12")
def test_a_string_body_is_a_json_string_or_the_text_itself(data: bytes, text: str) -> None:
    assert JSON.bind(str).decode(data) == text


def test_a_string_body_must_be_utf_8_and_fit_its_constraints() -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.bind(str).decode(b"\xff")
    assert caught.value.malformed
    short = JSON.bind(Annotated[str, Field(min_length=3)])
    assert short.decode(b"abc") == "abc"
    for data in (b"ab", b'"ab"'):
        with pytest.raises(DecodeError, match=r"cannot decode str: .*at least 3"):
            short.decode(data)


@pytest.mark.parametrize("data", [b"true", b"false", b'"x"', b"5.5", b"null", b"[]"])
@pytest.mark.parity("N12")
def test_not_an_integer(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.bind(int).decode(data)
    assert not caught.value.malformed


@pytest.mark.parametrize("data", [b"5", b'"5"', b"5.0"])
def test_an_integer_in_other_forms(data: bytes) -> None:
    assert JSON.bind(int).decode(data) == 5


def test_booleans_are_not_integers_anywhere_in_a_value() -> None:
    class Deep(BaseModel):
        questions: list[Question]
        numbers: dict[str, int] = {}

    decode = JSON.bind(Deep).decode
    good = decode(b'{"questions":[{"topic":"a","depth":"3"}],"numbers":{"x":4.0}}')
    assert (good.questions[0].depth, good.numbers) == (3, {"x": 4})
    for data in (
        b'{"questions":[{"topic":"a","depth":true}]}',
        b'{"questions":[],"numbers":{"x":false}}',
    ):
        with pytest.raises(DecodeError, match="valid integer"):
            decode(data)


def test_an_aliased_integer_type_keeps_the_rule() -> None:
    bound = JSON.bind(Box[int])
    with pytest.raises(DecodeError):
        bound.decode(b'{"value":true}')


@pytest.mark.parametrize(
    ("data", "reasons"), [(b"", ["it is empty, and Question is expected"]), (b"   ", [])]
)
@pytest.mark.parity("N12")
def test_an_empty_payload_is_malformed(data: bytes, reasons: list[str]) -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.bind(Question).decode(data)
    assert caught.value.malformed
    assert caught.value.errors == tuple({"path": "", "reason": reason} for reason in reasons)


def test_what_cannot_be_encoded_is_named_by_its_class() -> None:
    for value, name in ((None, "None"), ("x", "str"), (5, "int")):
        with pytest.raises(EncodeError, match=f"cannot encode {name} as Question: "):
            JSON.bind(Question).encode(value)


@pytest.mark.parametrize("type_", [int | None, Question | None, Any, int | str | None])
def test_an_empty_payload_is_none_where_none_fits(type_: Any) -> None:
    assert JSON.bind(type_).decode(b"") is None


@pytest.mark.parametrize(
    "data", [b"{", b"nul", b"\xff", b"{'a':1}", b"1 2", b"[" * 1_000_000, b'{"topic":"\xff"}']
)
def test_what_is_not_json_is_malformed(data: bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON") as caught:
        JSON.bind(Question).decode(data)
    assert caught.value.malformed
    assert caught.value.errors == ()


@pytest.mark.parametrize("type_", [Any, int, Question, list[int], dict[str, Any]])
def test_hostile_sizes_are_bounded(type_: Any) -> None:
    for data in (b"[" * 1_000_000, b'{"a":' * 200_000, b"9" * 1_000_000, b"-" + b"9" * 10_000):
        with pytest.raises(DecodeError):
            JSON.bind(type_).decode(data)


# --- schemas


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@RELAXED
@given(json_values)
def test_any_json_value_comes_back_equal(value: Any) -> None:
    bound = JSON.bind(Any)
    data = bound.encode(value)
    assert json.loads(data) == value
    assert bound.decode(data) == value


@RELAXED
@given(st.binary(max_size=200), st.sampled_from([Any, int, str, Question, list[int], Everything]))
def test_garbage_gives_a_value_or_a_decode_error(data: bytes, type_: Any) -> None:
    try:
        JSON.bind(type_).decode(data)
    except DecodeError as error:
        assert error.malformed or error.errors

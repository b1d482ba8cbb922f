"""natsrpc.describe.misfits: what it says does not fit, pydantic refuses."""

from __future__ import annotations

import datetime
import enum
import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from natsrpc.describe import misfits
from natsrpc.errors import ConfigError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str
    count: int = 1


class Order(BaseModel):
    id: int
    lines: list[Line]
    color: Color | None = None
    when: datetime.datetime | None = None
    kind: Literal["new", "old"] = "new"
    prices: dict[str, float] = {}
    above: Order | None = None


TYPES: list[Any] = [Order, Line, int, float, str, bool, list[int], dict[str, Line], Line | int]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | st.sampled_from(["", "7", "1.5", "red", "new", "2026-01-01T00:00:00Z", "true", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "sku", "count", "lines", "color", "when", "kind", "prices"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(value=values, of=st.sampled_from(TYPES))
def test_what_it_refuses_pydantic_refuses(value: Any, of: Any) -> None:
    adapter = TypeAdapter(of)
    if misfits(adapter.json_schema(), value):
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"id": 1, "lines": []}, []),
        ({"id": "7", "lines": [{"sku": "a", "count": "2"}], "when": 17}, []),
        ({"lines": []}, ["id: field required"]),
        ({"id": "x", "lines": {}}, [
            "id: expected an integer, not a string", "lines: expected an array, not an object",
        ]),
        ({"id": 1, "lines": [{"sku": 1, "more": 2}]}, [
            "lines[0].sku: expected a string, not a number",
            "lines[0].more: there is no such field",
        ]),
        ({"id": 1, "lines": [], "kind": "newer"}, ["kind: expected 'new' or 'old'"]),
        ({"id": 1, "lines": [], "above": {"id": 2}}, ["above.lines: field required"]),
        ([], ["expected an object, not an array"]),
    ],
)  # fmt: skip
def test_it_names_the_place_and_what_was_expected(value: Any, told: list[str]) -> None:
    assert misfits(TypeAdapter(Order).json_schema(), value) == told


@pytest.mark.parametrize("schema", [None, {}, True, [], {"type": 7}, {"$ref": "#/nowhere"}])
def test_of_what_is_no_schema_nothing_is_told(schema: Any) -> None:
    assert misfits(schema, {"a": 1}) == []


def test_a_schema_that_unfolds_without_end_is_refused() -> None:
    bomb: dict[str, Any] = {"$defs": {"n0": {"type": "null"}}, "$ref": "#/$defs/n40"}
    for level in range(40):
        choice = {"$ref": f"#/$defs/n{level}"}
        bomb["$defs"][f"n{level + 1}"] = {"anyOf": [choice, choice]}
    with pytest.raises(ConfigError, match="too large"):
        misfits(bomb, 1)
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert misfits(loop, 1) == []
    around = {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}
    with pytest.raises(ConfigError, match="nested too deeply"):
        misfits(around, 1)

"""pydantic's `Field(...)` of one parameter, taken apart."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, AliasPath, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from natsrpc import codecs
from natsrpc.codecs import REQUIRED, Factory
from natsrpc.errors import ConfigError


def test_a_parameter_without_a_field_stays_what_it_is() -> None:
    type_ = Annotated[int, "a note"]
    assert codecs.described(type_, 5) == (type_, 5, ())
    assert codecs.described(int) == (int, REQUIRED, ())


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (int, Field(default=5, ge=1)),
        (Annotated[int, Field(ge=1)], 5),
        (Annotated[int, Field(default=5, ge=1)], REQUIRED),
        (Annotated[int, Field(ge=1)], Field(default=5)),
    ],
)
def test_constraints_go_to_the_type_and_the_default_is_plain(type_: Any, default: Any) -> None:
    found = codecs.described(type_, default)
    assert (found.default, found.names) == (5, ())
    validate = TypeAdapter(found.type).validate_python
    assert validate(1) == 1
    with pytest.raises(ValidationError):
        validate(0)


def test_a_field_without_a_default_is_required() -> None:
    assert codecs.described(int, Field(ge=1)).default is REQUIRED
    assert codecs.described(int, Field(..., ge=1)).default is REQUIRED


def test_what_is_said_of_the_field_stays_with_its_type() -> None:
    found = codecs.described(int, Field(description="how many", title="Count", examples=[1]))
    schema = TypeAdapter(found.type).json_schema()
    assert schema == {
        "type": "integer",
        "description": "how many",
        "title": "Count",
        "examples": [1],
    }


@pytest.mark.parametrize(
    ("field", "names"),
    [
        (Field(alias="b"), ("b",)),
        (Field(validation_alias="b"), ("b",)),
        (Field(alias="b", validation_alias="c"), ("c",)),
        (Field(validation_alias=AliasChoices("b", "c")), ("b", "c")),
    ],
)
def test_aliases_are_names(field: Any, names: tuple[str, ...]) -> None:
    if names == ("c",):
        with pytest.raises(ConfigError, match="serialization_alias='b'"):
            codecs.described(int, field)
    else:
        assert codecs.described(int, field).names == names


def test_factories_are_kept() -> None:
    assert codecs.described(list, Field(default_factory=list)).default == Factory(list)
    of_data = codecs.described(int, Field(default_factory=lambda data: 1)).default
    assert of_data.takes_data


def test_a_default_is_validated_where_that_is_asked_for() -> None:
    assert codecs.described(int, Field(default="7", validate_default=True)).default == 7
    made = codecs.described(int, Field(default_factory=lambda: "7", validate_default=True))
    assert made.default.make() == 7
    with pytest.raises(ConfigError, match="default 'x' is not valid"):
        codecs.described(int, Field(default="x", validate_default=True))


Query: Any = type("Query", (FieldInfo,), {})
"""What another framework makes of a field."""


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field(exclude=True), "exclude"),
        (Field(init=False), "init=False"),
        (Field(validation_alias=AliasPath("a", 0)), "AliasPath"),
        (Field(validation_alias=AliasChoices("a", AliasPath("b", 0))), "AliasPath"),
        (Field(serialization_alias="b"), "serialization_alias"),
        (Query(default=1), "Query"),
    ],
)
def test_what_means_nothing_for_a_parameter_is_refused(field: Any, words: str) -> None:
    for type_, default in ((int, field), (Annotated[int, field], REQUIRED)):
        with pytest.raises(ConfigError, match=words):
            codecs.described(type_, default)

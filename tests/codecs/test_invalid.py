"""The text of a refused value: paths and reasons, and never the value."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, field_validator, model_validator

from natsrpc import codecs
from natsrpc.errors import DecodeError

JSON = codecs.get("json")


class Question(BaseModel):
    topic: str
    depth: int = 0


def test_the_path_and_the_reason_are_told_and_never_the_value() -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.bind(list[Question]).decode(b'[{"topic":"ok"},{"topic":987654,"depth":"s3cret"}]')
    error = caught.value
    assert [entry["path"] for entry in error.errors] == ["1.topic", "1.depth"]
    assert all(entry["reason"] for entry in error.errors)
    told = str(error) + json.dumps(error.errors)
    assert "987654" not in told
    assert "s3cret" not in told
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "(and 1 more)" in str(error)


def test_a_validator_s_text_is_told_unless_it_repeats_the_value() -> None:
    class Range(BaseModel):
        low: int
        name: str = ""
        flag: bool | None = None

        @field_validator("low")
        @classmethod
        def check_low(cls, value: int) -> int:
            raise ValueError("must be small")

        @field_validator("name")
        @classmethod
        def check_name(cls, value: str) -> str:
            raise ValueError(f"no such name: {value}")

        @field_validator("flag")
        @classmethod
        def check_flag(cls, value: bool) -> bool:
            raise ValueError("flags are not taken")

    with pytest.raises(DecodeError) as caught:
        JSON.bind(Range).decode(b'{"low":77,"name":"s3cret","flag":true}')
    reasons = {entry["path"]: entry["reason"] for entry in caught.value.errors}
    assert "must be small" in reasons["low"]
    assert reasons["name"] == "Value was refused by its validator"
    assert "not taken" in reasons["flag"]


def test_a_model_validator_s_text_is_searched_for_its_fields() -> None:
    class Login(BaseModel):
        user: str
        words: list[str]

        @model_validator(mode="after")
        def check(self) -> Login:
            raise ValueError(f"bad {self.words[0]}")

    with pytest.raises(DecodeError) as caught:
        JSON.bind(Login).decode(b'{"user":"ann","words":["s3cret"]}')
    assert "s3cret" not in str(caught.value)


def test_thousands_of_errors_are_counted_not_listed() -> None:
    bound = JSON.bind(list[int])
    with pytest.raises(DecodeError, match="50000 values are invalid") as caught:
        bound.decode(b"[" + b",".join([b'"x"'] * 50_000) + b"]")
    assert len(caught.value.errors) == 1
    with pytest.raises(DecodeError) as caught:
        bound.decode(b"[" + b",".join([b'"x"'] * 900) + b"]")
    assert len(caught.value.errors) == 50


def test_a_long_key_is_cut_in_the_path() -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.bind(dict[str, int]).decode(b'{"' + b"k" * 10_000 + b'":"x"}')
    assert len(caught.value.errors[0]["path"]) == 200

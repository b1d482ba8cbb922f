"""Python spellings of any text."""

from __future__ import annotations

import ast
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.describe.names import Names, class_name, docstring, identifier, literal, method_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", "name"),
        ("a-b c", "a_b_c"),
        ("class", "class_"),
        ("_private_", "private"),
        ("2nd", "value_2nd"),
        ("é", "value"),
        ("", "value"),
    ],
)
def test_identifiers(text: str, expected: str) -> None:
    assert identifier(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("help-desk", "HelpDesk"),
        ("Page[Order]", "PageOrder"),
        ("APIKey", "APIKey"),
        ("2nd", "Value2nd"),
        ("None", "None_"),
        ("--", "Value"),
    ],
)
def test_class_names(text: str, expected: str) -> None:
    assert class_name(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("getUser", "get_user"), ("Level", "level"), ("js-add", "js_add"), ("import", "import_")],
)
def test_method_names(text: str, expected: str) -> None:
    assert method_name(text) == expected


@given(st.text())
def test_any_text_gives_names(text: str) -> None:
    for name in (identifier(text), class_name(text), method_name(text)):
        assert name.isidentifier()
        assert not keyword.iskeyword(name)


def test_names_are_given_once() -> None:
    names = Names({"a"})
    assert [names.take("a", "a_"), names.take("a", "a_"), names.take("a"), names.take("b")] == [
        "a_",
        "a2",
        "a3",
        "b",
    ]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(json_values)
def test_literals_are_the_values(value: object) -> None:
    assert ast.literal_eval(literal(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", '"a"'),
        ("it's", '"it\'s"'),
        ('say "hi"', "'say \"hi\"'"),
        ('it\'s "hi"', '"it\'s \\"hi\\""'),
        ({"a": [1, None, True]}, '{"a": [1, None, True]}'),
    ],
)
def test_quotes_are_those_that_formatters_choose(value: object, expected: str) -> None:
    assert literal(value) == expected


@given(st.text())
def test_any_text_is_a_docstring(text: str) -> None:
    lines = docstring(text, "    ")
    source = "\n".join(["def f():", *lines, "    pass"])
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert len(function.body) == (2 if lines else 1)

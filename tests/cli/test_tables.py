"""natsrpc.cli.tables: what identifies a row is whole at any width."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from natsrpc.cli.tables import layout

COLUMNS = ("service", "instance", "endpoint", "subject", "requests", "last error")
ROWS = [
    ("shop", "abcdefghijklmnopqrstuv", "archive", "shop.orders.archive", 12345, ""),
    (
        "shop",
        "abcdefgzijklmnopqrstuv",
        "create",
        "shop.orders.create",
        7,
        "422: no " + "word " * 30,
    ),
]


def lines(width: int | None) -> list[str]:
    return layout(COLUMNS, ROWS, width, soft=("last error",), ids=("instance",))


@pytest.mark.parametrize("width", [None, 400, 120, 100, 80, 70, 50, 30, 10])
def test_identifying_cells_are_whole_at_any_width(width: int | None) -> None:
    text = "\n".join(lines(width))
    for cell in ("shop.orders.archive", "archive", "12345", "shop.orders.create"):
        assert cell in text


@pytest.mark.parametrize("width", [400, 120, 100, 80, 70])
def test_lines_fit(width: int) -> None:
    assert max(map(len, lines(width))) <= width


def test_nothing_is_cut_where_there_is_no_width() -> None:
    heading, first, second = lines(None)
    assert heading.split() == [*COLUMNS[:-1], "last", "error"]
    assert "abcdefghijklmnopqrstuv" in first
    assert second.endswith("word")


def test_ids_are_cut_to_what_tells_them_apart() -> None:
    text = "\n".join(lines(80))
    assert "abcdefgh " in text
    assert "abcdefgz " in text
    assert "abcdefghi" not in text


def test_a_long_text_is_wrapped_then_put_below_its_row() -> None:
    assert "last error" in lines(120)[0]
    below = lines(70)
    assert "last error" not in below[0]
    assert below[2].split()[0] == "shop"
    assert below[3].startswith("    last error: 422: no word")


def test_what_is_spare_is_put_below_its_row_before_rows_become_blocks() -> None:
    found = layout(COLUMNS, ROWS, 56, soft=("last error",), spare=("subject",), ids=("instance",))
    assert found[0].split() == ["service", "instance", "endpoint", "requests"]
    assert found[2] == "    subject: shop.orders.archive"
    assert max(map(len, found)) <= 56


def test_measured_times_stand_one_below_another() -> None:
    _, first, second = layout(("name", "avg ms"), [("a", 0.0), ("b", 12.25)], None)
    assert (first, second) == ("a      0.000", "b     12.250")


def test_numbers_align_to_the_right() -> None:
    _, first, second = layout(("name", "count"), [("a", 100), ("b", 5)], None)
    assert (first, second) == ("a       100", "b         5")


def test_wide_characters_are_two_columns() -> None:
    _, first, second = layout(("name", "other"), [("日本", "x"), ("abcd", "y")], None)
    assert first == "日本  x"
    assert second == "abcd  y"


@pytest.mark.parametrize("width", [120, 80, 70, 60])
def test_no_letter_of_a_long_text_is_lost(width: int) -> None:
    """Nor of one in a script whose letters take two columns, with no spaces between words."""
    for text in ("説明" * 60, "a" * 150, "word " * 30, "eins 説明 " * 20, "e\u0301" * 100):
        rows = [("shop", "abcdefghijkl", "archive", "shop.orders.archive", 7, text)]
        found = layout(COLUMNS, rows, width, soft=("last error",), ids=("instance",))
        assert max(map(cell_len, found)) <= width
        shown = "".join("".join(found).split())
        assert all(shown.count(letter) >= text.count(letter) for letter in set(text) - {" "})


def test_a_table_without_rows_is_its_heading() -> None:
    assert layout(("a", "b"), [], 80) == ["a  b"]

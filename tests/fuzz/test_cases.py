"""Every input that once failed, some that mean something, and a thousand throws of dice at each
target. `make fuzz` looks for more."""

from __future__ import annotations

import random

import pytest

from .engine import CASES, cases, roll
from .shapes import SHAPES
from .targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_is_known_breaks_anything(name: str) -> None:
    for _, data in cases(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_throw_of_dice_breaks_anything(name: str) -> None:
    assert roll(name, 0.0, random.Random(7), at_least=500) == 500


@pytest.mark.parametrize("name", SHAPES)
def test_no_file_contract_or_stub_breaks_anything(name: str) -> None:
    SHAPES[name]()


def test_each_target_has_seeds_and_each_case_a_target() -> None:
    assert SEEDS.keys() == TARGETS.keys()
    assert {path.name for path in CASES.glob("*")} <= TARGETS.keys()

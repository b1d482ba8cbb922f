"""Records behave as the frozen dataclasses they stand for: each test runs on both."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from natsrpc import record as module
from natsrpc.record import record

BOTH = [record, dataclass]


def both(make: Callable[[Any], type]) -> pytest.MarkDecorator:
    """The class that `make` makes of each of the two decorators."""
    return pytest.mark.parametrize(
        "cls", [make(each) for each in BOTH], ids=["record", "dataclass"]
    )


def point(decorator: Any) -> type:
    @decorator(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)

        def norm(self) -> int:
            return abs(self.x) + abs(self.y)

    return Point


def options(decorator: Any) -> type:
    @decorator(frozen=True, slots=True, kw_only=True)
    class Options:
        """Settings."""

        size: int = 1
        name: str = ""

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("size")
            if self.size == 0:
                object.__setattr__(self, "size", 7)

        def __repr__(self) -> str:
            return "mine"

    return Options


def server(decorator: Any) -> type:
    @decorator(slots=True, eq=False)
    class Server:
        """May change."""

        host: str
        password: str = field(default="", repr=False)

    return Server


@record(frozen=True, slots=True)
class Kept:
    """At the top of a module, where pickle finds it."""

    a: int
    b: list[int]


@both(point)
def test_arguments_are_taken_by_place_by_name_and_by_default(cls: Any) -> None:
    for made in (cls(1), cls(x=1), cls(1, 2), cls(1, y=2, tags=[])):
        assert (made.x, made.y, made.tags) == (1, 2, [])
    assert cls(1).tags is not cls(1).tags
    assert cls(-3).norm() == 5


@both(point)
@pytest.mark.parametrize(
    ("positional", "named"),
    [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
)
def test_wrong_arguments_are_a_type_error(cls: Any, positional: Any, named: Any) -> None:
    with pytest.raises(TypeError, match=cls.__name__):
        cls(*positional, **named)


@both(options)
def test_keyword_only_fields_are_not_taken_by_place(cls: Any) -> None:
    assert cls(size=3).size == 3
    with pytest.raises(TypeError):
        cls(3)
    assert cls.__match_args__ == ()


@both(options)
def test_what_the_class_defines_itself_is_kept(cls: Any) -> None:
    assert repr(cls()) == "mine"
    assert cls(size=0).size == 7
    with pytest.raises(ValueError, match="size"):
        cls(size=-1)


@both(point)
def test_a_frozen_one_cannot_be_changed(cls: Any) -> None:
    made = cls(1)
    with pytest.raises(FrozenInstanceError, match="'x'"):
        made.x = 2
    with pytest.raises(FrozenInstanceError, match="'x'"):
        del made.x
    assert made.x == 1
    assert not hasattr(made, "__dict__")


@both(server)
def test_one_that_is_not_frozen_can_be_changed_and_is_only_equal_to_itself(cls: Any) -> None:
    made = cls("a", password="secret")
    made.host = "b"
    assert repr(made).endswith("Server(host='b')")
    assert made != cls("b", "secret")
    assert {made: 1}[made] == 1


@both(point)
def test_equality_is_by_class_and_values(cls: Any) -> None:
    assert cls(1, tags=["a"]) == cls(1, tags=["a"])
    assert cls(1) != cls(2)
    assert cls(1) != (1, 2, [])
    assert hash(cls(1, tags=())) == hash(cls(1, tags=()))
    with pytest.raises(TypeError):
        hash(cls(1))


@pytest.mark.parametrize("decorator", BOTH)
def test_one_that_is_equal_by_value_and_may_change_has_no_hash(decorator: Any) -> None:
    @decorator(slots=True)
    class Loose:
        """x"""

        a: int

    assert Loose(1) == Loose(1)  # type: ignore[call-arg]  # the decorator is not known here
    with pytest.raises(TypeError):
        hash(Loose(1))  # type: ignore[call-arg]


@both(point)
def test_its_repr_can_be_read_back(cls: Any) -> None:
    assert repr(cls(1)).endswith("Point(x=1, y=2, tags=[])")


@both(point)
def test_it_is_a_dataclass(cls: Any) -> None:
    made: Any = cls(1, 3)
    assert [dataclasses.is_dataclass(each) for each in (cls, made)] == [True, True]
    assert [each.name for each in dataclasses.fields(made)] == ["x", "y", "tags"]
    assert dataclasses.asdict(made) == {"x": 1, "y": 3, "tags": []}
    assert dataclasses.replace(made, y=4) == cls(1, 4)
    match made:
        case cls(x, y):
            assert (x, y) == (1, 3)
        case _:
            pytest.fail("does not match")


@both(point)
def test_its_signature_shows_the_fields(cls: Any) -> None:
    parameters = inspect.signature(cls).parameters
    assert list(parameters) == ["x", "y", "tags"]
    assert [each.annotation for each in parameters.values()] == ["int", "int", "list[str]"]
    assert parameters["x"].default is inspect.Parameter.empty
    assert parameters["y"].default == 2
    assert parameters["tags"].default is not inspect.Parameter.empty


@both(options)
def test_its_signature_shows_what_is_taken_by_name_only(cls: Any) -> None:
    kinds = {each.kind for each in inspect.signature(cls).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_it_is_copied_and_pickled() -> None:
    made = Kept(1, [2])
    assert copy.copy(made) == made
    deep = copy.deepcopy(made)
    assert deep == made
    assert deep.b is not made.b
    assert pickle.loads(pickle.dumps(made)) == made


def test_nothing_is_compiled_for_a_class() -> None:
    assert Kept.__init__.__code__.co_filename == module.__file__
    assert {name for name, value in vars(Kept).items() if inspect.isfunction(value)} == {
        *("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"),
        *("__getstate__", "__setstate__"),
    } | ({"__replace__"} if hasattr(Kept, "__replace__") else set())

"""Methods as endpoints: those that are marked, or all public ones; their types at callers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Protocol

import pytest

import natsrpc
from natsrpc import Client, Context, Header, Service, endpoint
from natsrpc.errors import ConfigError, ConfigTypeError, NoRespondersError, NotFoundError


def calculator() -> Service:
    return Service("calculator", version="1.0.0")


def places(service: Service) -> dict[str, str]:
    return {each.name: each.template for each in service.contract.endpoints}


class Calc:
    @endpoint("calc.add", timeout=2.0, idempotent=True, errors=(NotFoundError,))
    async def add(self, a: float, b: float) -> float:
        """Add two numbers."""
        return a + b

    @endpoint()
    async def double(self, n: float, client: Client) -> float:
        return await client.call(Calc.add, {"a": n, "b": n})

    @endpoint("calc.{who}.greet", name="greet")
    async def greet(self, who: str, text: str) -> str:
        return f"{text} {who}"

    @endpoint("calc.count")
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    async def helper(self) -> int:
        return 1


async def test_of_a_class_with_marked_methods_those_are_served() -> None:
    service, calc = calculator(), Calc()
    service.register(calc)
    assert places(service) == {
        "add": "calc.add",
        "double": "double",
        "greet": "calc.{who}.greet",
        "count": "calc.count",
    }
    add = service.contract.endpoints[0]
    assert (add.idempotent, add.errors, add.doc) == (True, (NotFoundError,), "Add two numbers.")
    assert service.definition.handlers[0].limits.timeout == 2.0
    async with service.test() as client:
        assert await client.call(calc.add, {"a": 1, "b": 2}) == 3
        assert await client.call(Calc.double, 4) == 8
        assert await client.call(Calc.greet, "hi", tokens={"who": "ada"}) == "hi ada"
        assert [item async for item in client.stream(Calc.count, 3)] == [0, 1, 2]
        with pytest.raises(NoRespondersError):
            await client.call("helper")
    assert await calc.add(1, 2) == 3  # still a method


async def test_below_a_prefix() -> None:
    class Desk:
        @endpoint("ask")
        async def ask(self) -> str:
            return "asked"

    service = calculator()
    service.group("a").register(Desk(), prefix="b")
    assert places(service) == {"ask": "a.b.ask"}
    async with service.test() as client:
        assert await client.call(Desk.ask) == "asked"


async def test_a_class_that_is_served_elsewhere_is_called_as_it_is_marked() -> None:
    class Elsewhere:
        @endpoint("elsewhere.of.{who}", idempotent=True)
        async def of(self, who: str, n: int) -> str:
            raise AssertionError  # it is only called

        @endpoint("elsewhere.plus")
        async def plus(self, n: int, m: int = 1, header: Annotated[str, Header("H")] = "") -> int:
            raise AssertionError

        async def not_served(self) -> None: ...

    service = calculator()

    @service.handler("elsewhere.of.{who}", name="of")
    async def of(who: str, n: int) -> str:
        return f"{who} {n}"

    @service.handler("elsewhere.plus")
    async def plus(n: int, m: int = 1) -> int:
        return n + m

    async with service.test() as client:
        assert await client.call(Elsewhere.of, 3, tokens={"who": "ada"}) == "ada 3"
        assert await client.call(Elsewhere.plus, {"n": 1}) == 2
        proxy = client.bind(Elsewhere)
        assert await proxy.plus(1, 5) == 6
        assert not hasattr(proxy, "not_served")
        with pytest.raises(ConfigError, match="not_served' is not registered"):
            await client.call(Elsewhere.not_served)


class Base:
    @endpoint("base.kept")
    async def kept(self) -> str:
        return "kept"

    @endpoint("base.overridden")
    async def overridden(self) -> str:
        return "of the base"

    @endpoint("base.moved")
    async def moved(self) -> str:
        return "of the base"


class Derived(Base):
    async def overridden(self) -> str:
        return "of the subclass"

    @endpoint("derived.moved")
    async def moved(self) -> str:
        return "moved"

    async def unmarked(self) -> str:
        return "never"


async def test_methods_are_inherited_and_overridden() -> None:
    """What overrides an endpoint is the same endpoint, unless it is marked itself."""
    service = calculator()
    service.register(Derived())
    assert places(service) == {
        "kept": "base.kept",
        "overridden": "base.overridden",
        "moved": "derived.moved",
    }
    async with service.test() as client:
        found = [await client.call(subject, returns=str) for subject in places(service).values()]
    assert found == ["kept", "of the subclass", "moved"]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return "logged " + await function(*args, **kwargs)

    return wrapper


class Odd:
    @endpoint("odd.static")
    @staticmethod
    async def static(n: int) -> str:
        return f"static {n}"

    @staticmethod
    @endpoint("odd.static.too")
    async def static_too(n: int) -> str:
        return f"static {n}"

    @classmethod
    @endpoint("odd.of.class")
    async def of_class(cls, n: int) -> str:
        return f"{cls.__name__} {n}"

    @endpoint("odd.of.class.too")
    @classmethod
    async def of_class_too(cls, n: int) -> str:
        return f"{cls.__name__} {n}"

    @logged
    @endpoint("odd.wrapped")
    async def wrapped(self, n: int) -> str:
        return f"wrapped {n}"

    @endpoint("odd.plain")
    def plain(self, n: int) -> str:
        return f"plain {n}"

    @endpoint("odd.private")
    async def _private(self, n: int) -> str:
        return f"private {n}"

    @property
    def never_asked(self) -> str:
        raise AssertionError("a property was evaluated")

    @functools.cached_property
    def nor_this(self) -> str:
        raise AssertionError("a property was evaluated")


async def test_methods_of_all_kinds() -> None:
    service = calculator()
    service.register(Odd())
    async with service.test() as client:
        found = [await client.call(each.subject, 1, str) for each in service.contract.endpoints]
    assert sorted(found) == sorted(
        ["static 1", "static 1", "Odd 1", "Odd 1", "logged wrapped 1", "plain 1", "private 1"]
    )


class Plain:
    def __init__(self) -> None:
        self.attribute = "no method"

    async def first(self) -> str:
        return "first"

    @staticmethod
    async def second() -> str:
        return "second"

    @property
    def third(self) -> str:
        raise AssertionError("a property was evaluated")

    async def replaced(self) -> str:
        return "of the base"

    async def _private(self) -> str:
        return "never"


class WithProperty(Plain):
    @property
    def replaced(self) -> Any:
        raise AssertionError("a property was evaluated")


def test_without_marks_all_public_methods_are_served() -> None:
    for instance, expected in (
        (Plain(), ["first", "second", "replaced"]),
        (WithProperty(), ["first", "second"]),
    ):
        service = calculator()
        service.register(instance)
        assert [*places(service)] == expected


class Api(Protocol):
    async def add(self, a: float, b: float) -> float: ...


def test_an_api_names_what_is_served_of_an_object() -> None:
    service = calculator()
    service.register(Calc(), api=Api)
    assert places(service) == {"add": "calc.add"}


class ApiOfProperty(Protocol):
    async def third(self) -> str: ...


def plain_function() -> None: ...


class Marked:
    @endpoint("x")
    async def taken(self) -> None: ...


class Untaken(Marked):
    taken = 3  # type: ignore[assignment]  # is tested


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: endpoint(plain_function), r"write @natsrpc.endpoint\(\) with brackets"),  # type: ignore[arg-type]  # is tested
        (lambda: endpoint("x")(plain_function), r"'plain_function' \(.*:\d+\) is no method"),
        (lambda: endpoint("x")(lambda self: None), "is no method"),
        (lambda: endpoint("x")(Calc), "endpoint marks methods, not"),
        (lambda: endpoint("x")(3), "endpoint marks methods, not 3"),  # type: ignore[type-var]  # is tested
        (lambda: endpoint("a..b"), "a..b"),
        (lambda: endpoint("x", timout=3), "has no option 'timout'"),  # type: ignore[call-arg]  # is tested
        (lambda: endpoint("x", timeout=-1), "timeout is -1"),
        (lambda: endpoint("x", errors=(ValueError,)), "errors of endpoint 'x'"),  # type: ignore[arg-type]  # is tested
        (lambda: endpoint("x", dependencies=[plain_function]), r"write Depends\(plain_function"),
        (lambda: calculator().register(Calc), "register an instance of 'Calc'"),
        (lambda: calculator().register(plain_function), "'plain_function' is a function"),
        (lambda: calculator().register(Calc().add), "'Calc.add' is a function"),
        (lambda: calculator().register(natsrpc), "'natsrpc' is a module"),
        (lambda: calculator().register(3), "'int' has no public methods"),
        (lambda: calculator().register(Untaken()), "Untaken.taken takes the place of an endpoint"),
        (lambda: calculator().register(Plain(), api=Api), "has no method 'add'"),
        (lambda: calculator().register(Plain(), api=ApiOfProperty), "has no method 'third'"),
    ],
)
def test_what_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises((ConfigError, natsrpc.BadSubjectError), match=words):
        make()


def test_brackets_missed_in_a_class_are_refused_there() -> None:
    with pytest.raises(ConfigTypeError, match="with brackets"):

        class Missed:
            @endpoint  # type: ignore[arg-type]  # is tested
            async def add(self, a: int) -> int:  # type: ignore[misc]  # of what it is taken for
                return a


def test_a_conflict_within_a_class_names_both_methods() -> None:
    class Twice:
        @endpoint("same")
        async def first(self) -> None: ...

        @endpoint("same")
        async def second(self) -> None: ...

    service = calculator()
    with pytest.raises(ConfigError, match=r"'Twice.first' \(.*'Twice.second' \("):
        service.register(Twice())
    assert places(service) == {}


async def test_context_is_given_to_methods() -> None:
    class Desk:
        @endpoint("where")
        async def where(self, context: Context) -> str:
            return context.endpoint.name

    service = calculator()
    service.register(Desk())
    async with service.test() as client:
        assert await client.call(Desk.where) == "where"

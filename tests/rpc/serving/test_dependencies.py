"""Dependencies in a running service: errors go through all of them, generators are entered in any
clothing, plain ones run in threads, and the app's live as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from natsrpc.errors import (
    ConfigTypeError,
    ConflictError,
    DeadlineExceededError,
    InternalError,
    NatsRpcError,
    NotFoundError,
)
from natsrpc.rpc import Context, Depends, Header, Service
from tests.core.harness import eventually, turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def service_of(handler: Callable[..., Any], **options: Any) -> Service:
    service = Service("s", version="1.0.0")
    service.handler("h", **options)(handler)
    return service


async def outcome(handler: Callable[..., Any], *, timeout: float = 5.0) -> Any:
    """What a caller gets: the value, or the error."""
    async with service_of(handler).test() as client:
        try:
            return await client.call("h", None, Any, timeout=timeout)
        except NatsRpcError as error:
            return error


# errors go through


def swallowing_plain() -> Iterator[int]:
    with contextlib.suppress(BaseException):
        yield 1


async def swallowing() -> AsyncIterator[int]:
    with contextlib.suppress(BaseException):
        yield 1


async def returning() -> AsyncIterator[int]:
    try:
        yield 1
    except Exception:
        return


@contextlib.asynccontextmanager
async def swallowing_managed() -> AsyncIterator[int]:
    with contextlib.suppress(BaseException):
        yield 1


@contextlib.contextmanager
def swallowing_managed_plain() -> Iterator[int]:
    with contextlib.suppress(BaseException):
        yield 1


async def on_another(first: Annotated[int, Depends(swallowing)]) -> AsyncIterator[int]:
    with contextlib.suppress(BaseException):
        yield first


SWALLOWING = [
    swallowing,
    swallowing_plain,
    returning,
    swallowing_managed,
    swallowing_managed_plain,
    on_another,
]


@pytest.mark.parametrize("thread", [True, False])
@pytest.mark.parametrize("dependency", SWALLOWING)
async def test_a_swallowed_error_is_not_success(
    dependency: Any, thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def pay(db: Annotated[int, Depends(dependency, thread=thread)]) -> None:
        raise ValueError("card refused")

    with caplog.at_level(logging.ERROR):
        assert type(await outcome(pay)) is InternalError
    (record,) = caplog.records
    assert record.exc_info and str(record.exc_info[1]) == "card refused"
    assert "card refused" in caplog.text
    assert "pay" in caplog.text  # the handler's own line


@pytest.mark.parametrize("dependency", SWALLOWING)
async def test_a_swallowed_error_for_the_caller_reaches_it(dependency: Any) -> None:
    async def find(db: Annotated[int, Depends(dependency)]) -> None:
        raise NotFoundError("no such order")

    found = await outcome(find)
    assert (type(found), str(found)) == (NotFoundError, "no such order")


@pytest.mark.parametrize("dependency", SWALLOWING)
async def test_a_plain_handler_s_swallowed_error_is_not_success(dependency: Any) -> None:
    def pay(db: Annotated[int, Depends(dependency)]) -> None:
        raise ValueError("card refused")

    assert type(await outcome(pay)) is InternalError


@pytest.mark.parametrize("raised", [StopAsyncIteration, asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("dependency", [swallowing, swallowing_plain])
async def test_other_kinds_of_errors_are_not_success_either(
    raised: type[BaseException], dependency: Any
) -> None:
    async def odd(db: Annotated[int, Depends(dependency)]) -> str:
        raise raised

    assert isinstance(await outcome(odd), NatsRpcError)


async def test_every_dependency_sees_the_error_that_one_swallowed() -> None:
    seen: list[str] = []

    async def outer() -> AsyncIterator[int]:
        try:
            yield 1
        except BaseException as error:
            seen.append(f"outer {error}")
            raise

    async def inner(first: Annotated[int, Depends(outer)]) -> AsyncIterator[int]:
        try:
            yield 2
        except ValueError as error:
            seen.append(f"inner {error}")

    async def work(value: Annotated[int, Depends(inner)]) -> int:
        raise ValueError("x")

    assert type(await outcome(work)) is InternalError
    assert seen == ["inner x", "outer x"]


@pytest.mark.parametrize("plain", [True, False])
async def test_an_error_raised_in_place_of_the_handler_s_is_the_answer(
    plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def translated() -> Iterator[int]:
        try:
            yield 1
        except KeyError:
            raise ConflictError("taken")  # noqa: B904 — chained by Python itself

    async def translated_async() -> AsyncIterator[int]:
        try:
            yield 1
        except KeyError:
            raise RuntimeError("no rollback")  # noqa: B904 — as above

    async def work(db: Annotated[int, Depends(translated if plain else translated_async)]) -> None:
        raise KeyError("id")

    found = await outcome(work)
    assert type(found) is (ConflictError if plain else InternalError)
    if not plain:
        assert "KeyError: 'id'" in caplog.text
        assert "RuntimeError: no rollback" in caplog.text


async def test_a_dependency_that_yields_again_after_an_error_hides_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def again() -> AsyncIterator[int]:
        try:
            yield 1
        except ValueError:
            yield 2

    async def work(db: Annotated[int, Depends(again)]) -> int:
        raise ValueError("the cause")

    assert type(await outcome(work)) is InternalError
    assert "ValueError: the cause" in caplog.text


@pytest.mark.parametrize("plain", [True, False])
async def test_a_failing_commit_is_an_error_that_outer_dependencies_see(plain: bool) -> None:
    seen: list[str] = []

    async def outer() -> AsyncIterator[int]:
        try:
            yield 1
        except RuntimeError as error:
            seen.append(str(error))
            raise

    async def session(first: Annotated[int, Depends(outer)]) -> AsyncIterator[int]:
        yield 2
        raise RuntimeError("COMMIT failed")

    def plain_session(first: Annotated[int, Depends(outer)]) -> Iterator[int]:
        yield 2
        raise RuntimeError("COMMIT failed")

    chosen: Any = plain_session if plain else session

    async def save(db: Annotated[int, Depends(chosen)]) -> str:
        return "saved"

    assert type(await outcome(save)) is InternalError
    assert seen == ["COMMIT failed"]


async def test_an_error_of_a_dependency_s_beginning_goes_through_those_before_it() -> None:
    seen: list[str] = []

    def first() -> Iterator[int]:
        try:
            yield 1
        except NotFoundError:
            seen.append("first")

    async def second(before: Annotated[int, Depends(first)]) -> int:
        raise NotFoundError("no user")

    async def work(user: Annotated[int, Depends(second)]) -> int:
        raise AssertionError("it must not be called")

    assert type(await outcome(work)) is NotFoundError
    assert seen == ["first"]


async def test_a_cancelled_handler_s_dependencies_are_left() -> None:
    seen: list[str] = []

    def plain() -> Iterator[int]:
        try:
            yield 1
        except BaseException as error:
            seen.append(f"plain {type(error).__name__}")  # swallowed

    async def other(first: Annotated[int, Depends(plain)]) -> AsyncIterator[int]:
        try:
            yield 1
        except BaseException as error:
            seen.append(f"async {type(error).__name__}")  # swallowed

    async def work(db: Annotated[int, Depends(other)]) -> int:
        await asyncio.Event().wait()
        return 1

    assert isinstance(await outcome(work, timeout=0.05), DeadlineExceededError)
    await eventually(lambda: len(seen) == 2)
    assert seen == ["async CancelledError", "plain CancelledError"]


async def test_a_generator_entered_in_a_thread_is_left_though_its_request_was_cancelled() -> None:
    release, events = threading.Event(), list[str]()

    def slow() -> Iterator[int]:
        events.append("begun")
        release.wait(10)
        try:
            yield 1
        finally:
            events.append("left")

    async def work(db: Annotated[int, Depends(slow)]) -> int:
        events.append("ran")
        return db

    async with service_of(work).test() as client:
        with pytest.raises(DeadlineExceededError):
            await client.call("h", None, int, timeout=0.05)
        release.set()
        await eventually(lambda: "left" in events)
    assert events == ["begun", "left"]


# any clothing


class Scope:
    """A generator as `__call__`."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    async def __call__(self) -> AsyncIterator[str]:
        self.events.append("open")
        yield "value"
        self.events.append("closed")

    async def opened(self, suffix: str = "") -> AsyncIterator[str]:
        self.events.append("open")
        yield "value" + suffix
        self.events.append("closed")

    def opened_plain(self) -> Iterator[str]:
        self.events.append("open")
        yield "value"
        self.events.append("closed")

    @contextlib.contextmanager
    def managed(self) -> Iterator[str]:
        self.events.append("open")
        yield "value"
        self.events.append("closed")

    @contextlib.asynccontextmanager
    async def managed_async(self) -> AsyncIterator[str]:
        self.events.append("open")
        yield "value"
        self.events.append("closed")


class PlainScope(Scope):
    """A plain generator as `__call__`."""

    def __call__(self) -> Iterator[str]:  # type: ignore[override]  # it is another kind
        yield from self.opened_plain()


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrapped_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


CLOTHING: dict[str, Callable[[list[str]], Callable[..., Any]]] = {
    "callable instance": Scope,
    "plain callable instance": PlainScope,
    "bound method": lambda events: Scope(events).opened,
    "plain bound method": lambda events: Scope(events).opened_plain,
    "partial": lambda events: functools.partial(Scope(events).opened, suffix=""),
    "partial of an instance": lambda events: functools.partial(Scope(events)),
    "decorated": lambda events: wrapped(Scope(events).opened),
    "decorated plain": lambda events: wrapped(Scope(events).opened_plain),
    "decorated by an async function": lambda events: wrapped_async(Scope(events).opened),
    "decorated plain by an async function": lambda events: wrapped_async(
        Scope(events).opened_plain
    ),
    "contextmanager": lambda events: Scope(events).managed,
    "asynccontextmanager": lambda events: Scope(events).managed_async,
    "decorated asynccontextmanager": lambda events: wrapped(Scope(events).managed_async),
    "partial of a contextmanager": lambda events: functools.partial(Scope(events).managed),
}


@pytest.mark.parametrize("thread", [True, False])
@pytest.mark.parametrize("make", CLOTHING.values(), ids=CLOTHING.keys())
async def test_a_generator_in_any_clothing_is_entered_and_left(
    make: Callable[[list[str]], Callable[..., Any]], thread: bool
) -> None:
    events: list[str] = []
    dependency = make(events)

    async def work(value: Annotated[Any, Depends(dependency, thread=thread)]) -> str:
        events.append("used")
        return str(value)

    assert await outcome(work) == "value"
    assert events == ["open", "used", "closed"]


async def test_what_a_plain_function_returns_is_not_entered() -> None:
    lock = threading.Lock()

    def give() -> Any:
        return lock

    async def work(value: Annotated[Any, Depends(give)]) -> bool:
        return value is lock and not lock.locked()

    assert await outcome(work) is True


async def test_a_class_is_a_dependency() -> None:
    class Pager:
        def __init__(self, size: Annotated[int, Header("X-Size", 7)]) -> None:
            self.size = size

    async def work(pager: Annotated[Pager, Depends(Pager)]) -> int:
        return pager.size

    assert await outcome(work) == 7


async def test_a_coroutine_of_a_plain_function_is_awaited() -> None:
    async def inner() -> int:
        return 5

    def give() -> Any:
        return inner()

    for thread in (True, False):

        async def work(value: Annotated[int, Depends(give, thread=thread)]) -> int:
            return value

        assert await outcome(work) == 5


async def test_an_instance_without_a_hash_is_a_dependency_and_can_be_overridden() -> None:
    @dataclass
    class Limit:
        n: int

        def __call__(self) -> int:
            return self.n

    five, six = Limit(5), Limit(6)

    async def work(a: Annotated[int, Depends(five)], b: Annotated[int, Depends(six)]) -> list[int]:
        return [a, b]

    service = service_of(work)
    async with service.test() as client:
        assert await client.call("h", None, list[int]) == [5, 6]
        with service.override(five, lambda: 1):
            assert await client.call("h", None, list[int]) == [1, 6]
        assert await client.call("h", None, list[int]) == [5, 6]


async def test_one_value_a_request_however_often_it_is_named() -> None:
    made: list[object] = []

    def connection() -> object:
        made.append(object())
        return made[-1]

    async def user(db: Annotated[object, Depends(connection)]) -> object:
        return db

    async def work(
        user: Annotated[object, Depends(user)], db: Annotated[object, Depends(connection)]
    ) -> bool:
        return user is db

    assert await outcome(work) is True
    assert len(made) == 1


async def test_an_override_while_serving_may_be_of_another_kind() -> None:
    events: list[str] = []

    async def real() -> str:
        return "real"

    def fake() -> Iterator[str]:
        yield "fake"
        events.append("left")

    async def work(value: Annotated[str, Depends(real)]) -> str:
        return value

    service = service_of(work)
    with service.override(real, lambda: "before"):
        async with service.test() as client:
            assert await client.call("h", None, str) == "before"
            with service.override(real, fake):
                assert await client.call("h", None, str) == "fake"
            assert await client.call("h", None, str) == "before"
    async with service.test() as client:
        assert await client.call("h", None, str) == "real"
    assert events == ["left"]


async def test_an_override_ends_while_serving() -> None:
    async def real() -> str:
        return "real"

    async def work(value: Annotated[str, Depends(real)]) -> str:
        return value

    service = service_of(work)
    async with contextlib.AsyncExitStack() as stack:
        with service.override(real, lambda: "fake"):
            client = await stack.enter_async_context(service.test())
            assert await client.call("h", None, str) == "fake"
        assert await client.call("h", None, str) == "real"


# threads


def thread_name() -> str:
    return threading.current_thread().name


def generated() -> Iterator[str]:
    entered = thread_name()
    yield entered
    LEFT.append(thread_name())


LEFT: list[str] = []


@pytest.mark.parametrize("dependency", [thread_name, generated])
async def test_plain_dependencies_run_in_threads_unless_told_otherwise(dependency: Any) -> None:
    LEFT.clear()

    async def work(
        there: Annotated[str, Depends(dependency)],
    ) -> str:
        return there

    async def here(value: Annotated[str, Depends(dependency, thread=False)]) -> str:
        return value

    assert "natsrpc-handler" in await outcome(work)
    assert await outcome(here) == thread_name()
    if dependency is generated:
        assert "natsrpc-handler" in LEFT[0]
        assert LEFT[1] == thread_name()


def test_what_thread_is_no_bool_is_refused() -> None:
    with pytest.raises(ConfigTypeError, match="expected True or False"):
        Depends(thread_name, thread="no")  # type: ignore[arg-type]


async def test_others_are_served_while_a_plain_dependency_blocks() -> None:
    release = threading.Event()

    def blocking() -> bool:
        return release.wait(10)

    service = Service("s", version="1.0.0")

    @service.handler("h")
    async def slow(value: Annotated[bool, Depends(blocking)]) -> bool:
        return value

    @service.handler("ping")
    async def ping() -> int:
        return 1

    async with service.test() as client:
        calls = [asyncio.create_task(client.call(slow)) for _ in range(3)]
        await turns(50)
        assert await client.call(ping) == 1
        assert not any(call.done() for call in calls)
        release.set()
        assert await asyncio.gather(*calls) == [True] * 3


def set_in_thread() -> None:
    variable.set("thread")


async def set_on_loop() -> None:
    variable.set("loop")


def set_while_used() -> Iterator[None]:
    token = variable.set("entered")
    yield
    variable.reset(token)  # the same context: no "created in a different Context"


@pytest.mark.parametrize(
    ("dependency", "expected"),
    [(set_in_thread, "thread"), (set_on_loop, "loop"), (set_while_used, "entered")],
)
@pytest.mark.parametrize("plain", [True, False])
async def test_what_a_dependency_sets_the_handler_sees(
    dependency: Any, expected: str, plain: bool
) -> None:
    def read(done: Annotated[None, Depends(dependency)]) -> str:
        return variable.get()

    async def read_async(done: Annotated[None, Depends(dependency)]) -> str:
        return variable.get()

    assert await outcome(read if plain else read_async) == expected


async def test_what_a_plain_handler_sets_its_dependencies_and_middleware_see() -> None:
    seen: list[str] = []

    async def around() -> AsyncIterator[None]:
        yield
        seen.append(variable.get())

    def plain_around() -> Iterator[None]:
        yield
        seen.append(variable.get())

    def work(
        a: Annotated[None, Depends(around)], b: Annotated[None, Depends(plain_around)]
    ) -> None:
        variable.set("handler")

    service = service_of(work)

    @service.middleware
    async def watch(context: Context, call_next: Any) -> Any:
        result = await call_next(context)
        seen.append(variable.get())
        return result

    async with service.test() as client:
        await client.call("h", None)
    assert seen == ["handler"] * 3


# the app's


async def test_plain_dependencies_of_the_app_are_made_and_left_in_threads() -> None:
    events: list[str] = []

    def pool() -> Iterator[str]:
        events.append(thread_name())
        yield "pool"
        events.append(thread_name())

    def settings(pool: Annotated[str, Depends(pool, scope="app")]) -> str:
        return f"{pool} in {thread_name()}"

    async def work(value: Annotated[str, Depends(settings, scope="app")]) -> str:
        return value

    async with service_of(work).test() as client:
        assert "pool in natsrpc-handler" in await client.call("h", None, str)
    assert len(events) == 2
    assert all("natsrpc-handler" in each for each in events)


async def test_an_app_dependency_that_fails_at_its_end_does_not_keep_others_from_theirs() -> None:
    events: list[str] = []

    async def first() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            events.append("first")

    async def second(first: Annotated[int, Depends(first, scope="app")]) -> AsyncIterator[int]:
        yield 2
        raise RuntimeError("no goodbye")

    async def work(value: Annotated[int, Depends(second, scope="app")]) -> int:
        return value

    with pytest.raises(RuntimeError, match="no goodbye"):
        async with service_of(work).test() as client:
            assert await client.call("h", None, int) == 2
    assert events == ["first"]

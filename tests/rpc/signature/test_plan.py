"""A signature becomes a call plan, or is refused by the parameter's name."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Optional

import pytest
from pydantic import BaseModel

from natsrpc import Context, Depends, Embed, Header, Token
from natsrpc.core import Msg
from natsrpc.errors import ConfigError
from natsrpc.rpc.signature.plan import plan


class Item(BaseModel):
    sku: str


async def whole(item: Item) -> Item:
    return item


async def several(a: int, b: int = 2) -> int:
    return a + b


async def nothing() -> None: ...


async def with_context(item: Item, context: Context, msg: Msg) -> None: ...


async def embedded(item: Annotated[Item, Embed]) -> None: ...


def plain(item: Item) -> Item:
    return item


class Desk:
    async def ask(self, item: Item) -> Item:
        return item

    async def __call__(self, item: Item) -> Item:
        return item


def wrapping(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("function", "shape", "whole_body"),
    [
        (whole, "body", True),
        (several, "fields", False),
        (nothing, "nothing", False),
        (with_context, "general", True),
        (embedded, "fields", False),
        (plain, "general", True),
        (Desk().ask, "body", True),
        (Desk(), "body", True),
        (functools.partial(several, b=3), "body", True),
        (wrapping(whole), "body", True),
    ],
)
def test_shape_of_the_call(function: Callable[..., Any], shape: str, whole_body: bool) -> None:
    made = plan(function)
    assert (made.shape, made.whole) == (shape, whole_body)


def test_types_are_read_from_string_annotations() -> None:
    made = plan(whole)
    assert (made.request_type, made.response_type) == (Item, Item)


def test_a_model_local_to_the_registering_function_is_found() -> None:
    class Local(BaseModel):
        n: int

    async def handler(local: Local) -> Optional[Local]:  # noqa: UP045 — the old spelling counts too
        return local

    made = plan(handler)
    assert made.request_type is Local
    assert made.response_type == Optional[Local]  # noqa: UP045 — as above


def test_none_means_an_empty_reply() -> None:
    assert plan(nothing).response_type is None
    assert plan(nothing).request_type is None


def test_streams_are_told_by_their_annotations() -> None:
    async def watch(since: int) -> AsyncIterator[Item]:
        yield Item(sku=str(since))

    async def upload(items: AsyncIterator[Item]) -> int:
        return 0

    async def both(items: AsyncIterator[Item]) -> AsyncIterator[Item]:
        async for item in items:
            yield item

    assert plan(watch).kind == "response_stream"
    assert plan(watch).response_type is Item
    assert plan(upload).kind == "request_stream"
    assert plan(upload).stream is not None
    assert plan(both).kind == "both_stream"


async def no_annotation(item) -> None: ...  # type: ignore[no-untyped-def]  # what is refused


async def any_number(*items: int) -> None: ...


async def any_name(**items: int) -> None: ...


async def optional_context(item: Item, context: Context | None) -> None: ...


async def default_msg(item: Item, msg: Msg = None) -> None: ...  # type: ignore[assignment]  # refused


async def raw_field(a: int, data: bytes) -> None: ...


async def two_markers(a: Annotated[str, Header("A")] = Token("a")) -> None: ...


async def unknown_token(user: str = Token()) -> None: ...


async def two_streams(a: AsyncIterator[int], b: AsyncIterator[int]) -> None: ...


async def unresolved(item: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 — refused


def reads_body(n: int) -> int:
    return n


async def hungry_dependency(value: int = Depends(reads_body)) -> None: ...


def needs_msg(msg: Msg) -> int:
    return len(msg.data)


async def immortal(value: int = Depends(needs_msg, scope="app")) -> None: ...


async def uncalled(value: Annotated[str, Header]) -> None: ...


async def uncalled_default(value: str = Token) -> None: ...  # type: ignore[assignment]  # refused


async def no_text(value: Annotated[Context, Header("A")]) -> None: ...


async def default_stream(items: AsyncIterator[int] = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 — refused


async def marked_stream(items: Annotated[AsyncIterator[int], Embed]) -> None: ...


async def quoted(item: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037 — refused


def plain_generator(n: int):  # type: ignore[no-untyped-def]  # what is refused
    yield n


async def needs_model(item: Item = Depends(Item)) -> None: ...


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (no_annotation, "'item'"),
        (any_number, "'items'"),
        (any_name, "'items'"),
        (optional_context, "'context'"),
        (default_msg, "'msg'"),
        (raw_field, "'data'"),
        (two_markers, "'a'"),
        (unknown_token, "'user'"),
        (two_streams, "'b'"),
        (unresolved, "'item'"),
        (hungry_dependency, "'n'"),
        (immortal, "'needs_msg'"),
        (uncalled, "'value' of 'uncalled' names Header"),
        (uncalled_default, "'value' of 'uncalled_default' names Token"),
        (no_text, "'value'"),
        (default_stream, "'items'"),
        (marked_stream, "'items'"),
        (quoted, "'item'"),
        (plain_generator, "'plain_generator' is a plain generator"),
        (needs_model, "'sku' of dependency 'Item'"),
        (Desk, "'Desk' is a class"),
        (
            Desk.ask,
            "'self' of 'Desk.ask' is the instance of a method",
        ),
        (3, "3"),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(function: Any, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(function)
    assert named in str(caught.value)


def test_the_place_of_the_function_is_told() -> None:
    line = no_annotation.__code__.co_firstlineno
    with pytest.raises(ConfigError, match=rf"test_plan\.py:{line}\)$"):
        plan(no_annotation)


def test_a_dependency_on_itself_is_refused() -> None:
    def first(value: Any = Depends(lambda: None)) -> None: ...

    first.__defaults__ = (Depends(first),)

    async def handler(value: None = Depends(first)) -> None: ...

    with pytest.raises(ConfigError, match="depends on itself"):
        plan(handler)

"""`bind` of the blocking client: a Protocol as it is called, or that of the async client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from typing import Any, Protocol, cast

import pytest
from pydantic import RootModel

import natsrpc.sync
from natsrpc.errors import ConfigError
from natsrpc.sync import Stream

from .desk import SoldOutError, seen

pytestmark = pytest.mark.live


class Desk(Protocol):
    def add(self, a: int, b: int = 2) -> int: ...

    def refuse(self, item: str) -> str: ...

    def count(self, n: int) -> Iterator[int]: ...

    def total(self, numbers: Iterable[int]) -> int: ...

    def double(self, numbers: Iterator[int]) -> Stream[int]: ...


class AsyncDesk(Protocol):
    async def add(self, a: int, b: int = 2) -> int: ...

    def count(self, n: int) -> AsyncIterator[int]: ...

    async def total(self, numbers: AsyncIterator[int]) -> int: ...


def test_a_protocol_is_called_as_it_is_written(client: natsrpc.sync.Client) -> None:
    desk = client.bind(Desk, "desk")
    assert (desk.add(1), desk.add(1, b=5), desk.add(a=2)) == (3, 6, 4)
    assert list(desk.count(3)) == [0, 1, 2]
    assert desk.total([1, 2]) == 3
    assert list(desk.double(iter([1, 2]))) == [2, 4]
    with pytest.raises(SoldOutError):
        desk.refuse("tea")
    with pytest.raises(TypeError):
        desk.add()  # type: ignore[call-arg]
    assert repr(desk) == "<Proxy Desk>"


def test_the_protocol_of_an_async_client_blocks_as_well(client: natsrpc.sync.Client) -> None:
    desk: Any = client.bind(AsyncDesk, "desk")
    assert desk.add(1) == 3
    assert list(desk.count(2)) == [0, 1]
    assert desk.total([1, 2]) == 3


def test_tokens_of_the_subject_are_arguments(client: natsrpc.sync.Client) -> None:
    class ByToken(Protocol):
        @natsrpc.endpoint("desk.{what}")
        def ask(self, what: str, a: int, b: int) -> int: ...

        @natsrpc.endpoint("desk.{what}")
        def read(self, n: int, *, what: str) -> Iterator[int]: ...

        @natsrpc.endpoint("desk.{what}")
        def send(self, what: str, numbers: Iterable[int]) -> int: ...

    desk = client.bind(ByToken)
    assert desk.ask("add", 1, b=5) == 6
    assert list(desk.read(2, what="count")) == [0, 1]
    assert desk.send("total", [1, 2]) == 3


def test_local_names_and_generators_are_understood(client: natsrpc.sync.Client) -> None:
    class Number(RootModel[int]): ...  # a name that only this function knows

    class Local(Protocol):
        def count(self, n: Number) -> Generator[Number, None, None]: ...

    assert list(client.bind(Local, "desk").count(Number(2))) == [Number(0), Number(1)]


def test_a_call_through_a_proxy_has_its_timeout(client: natsrpc.sync.Client) -> None:
    class Hangs(Protocol):
        def hang(self) -> None: ...

    with pytest.raises(natsrpc.NatsTimeoutError):
        client.bind(Hangs, "desk", timeout=0.05).hang()
    assert seen.started.is_set()


def test_what_cannot_be_bound_is_refused(client: natsrpc.sync.Client) -> None:
    with pytest.raises(ConfigError, match="a Protocol or a class"):
        client.bind(cast(Any, "desk"))

    class Empty(Protocol): ...

    with pytest.raises(ConfigError, match="no public methods"):
        client.bind(Empty)

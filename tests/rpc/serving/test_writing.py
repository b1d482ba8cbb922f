"""The answer is written while the dependencies of its handler are there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict

from natsrpc.errors import InternalError
from natsrpc.rpc import Context, Depends, Next, Service


class Session:
    """A database session, of which rows read lazily."""

    def __init__(self) -> None:
        self.is_open = True
        self.seen: list[str] = []


class Row:
    """A row with a lazy column."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def name(self) -> str:
        if not self._session.is_open:
            raise RuntimeError("not bound to a session")
        return "ada"


class Out(BaseModel):
    """What is answered."""

    model_config = ConfigDict(from_attributes=True)
    name: str


SESSIONS: list[Session] = []


def _session() -> Iterator[Session]:
    session = Session()
    SESSIONS.append(session)
    try:
        yield session
        session.seen.append("commit")
    except BaseException as error:
        session.seen.append(type(error).__name__)
        raise
    finally:
        session.is_open = False


async def _session_async() -> AsyncIterator[Session]:
    with contextlib.contextmanager(_session)() as session:
        yield session


Plain = Annotated[Session, Depends(_session)]
Async = Annotated[Session, Depends(_session_async)]


async def pass_on(context: Context, call_next: Next[Context]) -> Any:
    """A middleware that changes nothing."""
    return await call_next(context)


@pytest.mark.parametrize("has_middleware", [True, False])
async def test_a_lazy_answer_is_read_while_its_session_is_open(has_middleware: bool) -> None:
    service = Service("s", version="1.0.0")
    if has_middleware:
        service.middleware(pass_on)

    @service.handler("plain")
    def plain(db: Plain) -> Out:
        return Row(db)  # type: ignore[return-value]  # as an ORM gives them

    @service.handler("async")
    async def asynchronous(db: Async) -> list[Out]:
        return [Row(db)]  # type: ignore[list-item]  # as an ORM gives them

    @service.handler("uploads")
    async def uploads(items: AsyncIterator[int], db: Async) -> Out:
        assert [item async for item in items] == [1]
        return Row(db)  # type: ignore[return-value]  # as an ORM gives them

    @service.handler("stream")
    async def stream(db: Async) -> AsyncIterator[Out]:
        yield Row(db)  # type: ignore[misc]  # as an ORM gives them

    async def one() -> AsyncIterator[int]:
        yield 1

    async with service.test() as client:
        assert await client.call(plain) == Out(name="ada")
        assert await client.call(asynchronous) == [Out(name="ada")]
        assert await client.upload(uploads, one()) == Out(name="ada")
        assert [item async for item in client.stream("stream", None, Out)] == [Out(name="ada")]


async def test_what_cannot_be_written_is_seen_by_the_dependencies() -> None:
    service = Service("s", version="1.0.0")

    @service.handler("answer")
    async def answer(db: Async) -> int:
        return "not a number"  # type: ignore[return-value]  # the mistake

    @service.handler("item")
    async def item(db: Async) -> AsyncIterator[int]:
        yield 1
        yield "not a number"  # type: ignore[misc]  # the mistake

    @service.handler("header")
    def header(db: Plain, context: Context) -> int:
        context.reply_headers["X-Bad"] = "a\r\nb"
        return 1

    async with service.test() as client:
        for handler, error in ((answer, "EncodeError"), (header, "BadHeaderError")):
            SESSIONS.clear()
            with pytest.raises(InternalError):
                await client.call(handler)
            (session,) = SESSIONS
            assert session.seen == [error]
        SESSIONS.clear()
        with pytest.raises(InternalError):
            async for _ in client.stream("item", None, int):
                pass
        assert SESSIONS[0].seen == ["EncodeError"]


async def test_headers_set_while_cleaning_up_are_sent() -> None:
    service = Service("s", version="1.0.0")

    async def timing(context: Context) -> AsyncIterator[None]:
        yield
        context.reply_headers["X-Took"] = "1"

    @service.handler("h")
    async def work(context: Context, timing: Annotated[None, Depends(timing)]) -> int:
        context.reply_headers["X-First"] = "0"
        return 1

    async with service.test() as client:
        reply = await client.connection.request("h")
        assert reply.data == b"1"
        assert (reply.headers["X-First"], reply.headers["X-Took"]) == ("0", "1")


async def test_middleware_changes_the_answer_by_another_one_or_in_place() -> None:
    service = Service("s", version="1.0.0")

    @service.middleware
    async def change(context: Context, call_next: Next[Context]) -> Any:
        answer = await call_next(context)
        if context.subject == "replaced":
            return Out(name="replaced")
        if isinstance(answer, dict):
            answer["b"] = 2
        else:
            answer.name = "changed"
        return answer

    @service.handler("replaced")
    async def replaced(db: Async) -> Out:
        return Row(db)  # type: ignore[return-value]  # as an ORM gives them

    @service.handler("model")
    async def model(db: Async) -> Out:
        return Out(name="ada")

    @service.handler("dict")
    async def mapping(db: Async) -> dict[str, int]:
        return {"a": 1}

    async with service.test() as client:
        assert await client.call(replaced) == Out(name="replaced")
        assert await client.call(model) == Out(name="changed")
        assert await client.call(mapping) == {"a": 1, "b": 2}


async def test_an_answer_that_can_be_read_once_is_written_once() -> None:
    service = Service("s", version="1.0.0")
    service.middleware(pass_on)

    @service.handler("h")
    async def work(db: Async) -> Iterable[int]:
        return (number for number in (1, 2, 3))

    async with service.test() as client:
        assert (await client.connection.request("h")).data == b"[1,2,3]"

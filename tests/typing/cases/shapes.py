"""Calls of handlers of every shape: which parameters read the body is not seen by a checker."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Any, assert_type

from natsrpc import Client, Context, Depends, Embed, Header, Msg, Service, Token

from .models import Answer, Failure, Question, changes, help, shout, total

service = Service("shapes", version="1.0.0")


def number() -> int:
    return 1


User = Annotated[str, Token("user")]
Language = Annotated[str, Header("Accept-Language")]
Number = Annotated[int, Depends(number)]


async def token(user: User) -> Answer:
    raise NotImplementedError


async def tokens(user: User, other: Annotated[str, Token("other")]) -> Answer:
    raise NotImplementedError


async def depends(number: Number) -> Answer:
    raise NotImplementedError


async def header(language: Language = "en") -> Answer:
    raise NotImplementedError


async def all_but_a_body(c: Context, msg: Msg, user: User, number: Number) -> Answer:
    raise NotImplementedError


async def embedded(amount: Annotated[int, Embed]) -> Answer:
    raise NotImplementedError


async def default(amount: int = 1) -> Answer:
    raise NotImplementedError


async def fields(a: int, b: int, c: int, d: int = 0, *, e: int = 1) -> Answer:
    raise NotImplementedError


async def by_keyword(*, a: int, b: str) -> Answer:
    raise NotImplementedError


async def context_then_body(context: Context, name: str) -> Answer:
    raise NotImplementedError


async def token_then_body(user: User, question: Question) -> Answer:
    raise NotImplementedError


async def tokens_then_body(user: User, other: User, question: Question) -> Answer:
    raise NotImplementedError


async def body_then_context(name: str, context: Context, number: Number) -> Answer:
    raise NotImplementedError


async def body_then_token(question: Question, user: User) -> Answer:
    raise NotImplementedError


async def fields_round_a_context(a: int, context: Context, b: int) -> Answer:
    raise NotImplementedError


async def anything(body: object) -> Answer:
    raise NotImplementedError


async def token_then_anything(user: User, body: object) -> Answer:
    raise NotImplementedError


async def either(body: int | str) -> Answer | None:
    raise NotImplementedError


async def nothing() -> None: ...
def plain_token(user: User) -> Answer:
    raise NotImplementedError


def plain_fields(a: int, b: int) -> Answer:
    raise NotImplementedError


def plain_body_then_context(question: Question, context: Context) -> list[Answer]:
    raise NotImplementedError


def plain_token_then_body(user: User, question: Question) -> Answer:
    raise NotImplementedError


async def uploaded(readings: AsyncIterator[int], scale: int) -> Answer:
    raise NotImplementedError


async def uploaded_last(context: Context, scale: int, readings: AsyncIterable[int]) -> Answer:
    raise NotImplementedError


async def sum_of(items: AsyncIterator[int]) -> int:
    raise NotImplementedError


async def chat(context: Context, words: AsyncIterator[str]) -> AsyncIterator[Answer]:
    async for word in words:
        yield Answer(text=word)


async def numbers_of(user: User, since: int) -> AsyncIterator[Answer]:
    yield Answer(text=user)


async def integers() -> AsyncIterator[int]:
    yield 1


async def words() -> AsyncIterator[str]:
    yield "a"


question = Question(topic="types")
user = {"user": "ada"}


async def without_a_request(client: Client) -> None:
    assert_type(await client.call(token, tokens=user), Answer)
    assert_type(await client.call(tokens, tokens=user | {"other": "bob"}), Answer)
    assert_type(await client.call(depends), Answer)
    assert_type(await client.call(header, headers={"Accept-Language": "de"}), Answer)
    assert_type(await client.call(all_but_a_body, tokens=user), Answer)
    assert_type(await client.call(default), Answer)
    assert_type(await client.call(nothing), None)
    assert_type(await client.call(plain_token, tokens=user), Answer)
    assert_type(await client.gather(token, tokens=user), list[Answer | Failure])
    assert_type(await client.gather(plain_token, tokens=user), list[Answer | Failure])


async def with_one(client: Client) -> None:
    assert_type(await client.call(default, 2), Answer)
    assert_type(await client.call(context_then_body, "x"), Answer)
    assert_type(await client.call(token_then_body, question, tokens=user), Answer)
    assert_type(await client.call(tokens_then_body, question, tokens=user), Answer)
    assert_type(await client.call(body_then_context, "x"), Answer)
    assert_type(await client.call(body_then_token, question, tokens=user), Answer)
    assert_type(await client.call(anything, question), Answer)
    assert_type(await client.call(token_then_anything, question, tokens=user), Answer)
    assert_type(await client.call(either, 1), Answer | None)
    assert_type(await client.call(plain_body_then_context, question), list[Answer])
    assert_type(await client.call(plain_token_then_body, question, tokens=user), Answer)
    assert_type(await client.gather(body_then_token, question, tokens=user), list[Answer | Failure])


async def with_fields(client: Client) -> None:
    assert_type(await client.call(embedded, {"amount": 1}), Answer)
    assert_type(await client.call(fields, {"a": 1, "b": 2, "c": 3}), Answer)
    assert_type(await client.call(by_keyword, {"a": 1, "b": "x"}), Answer)
    assert_type(await client.call(fields_round_a_context, {"a": 1, "b": 2}), Answer)
    assert_type(await client.call(plain_fields, {"a": 1, "b": 2}), Answer)
    assert_type(await client.gather(fields, {"a": 1, "b": 2, "c": 3}), list[Answer | Failure])


async def with_items(client: Client) -> None:
    assert_type(await client.upload(uploaded, integers()), Answer)
    assert_type(await client.upload(uploaded, integers(), {"scale": 2}), Answer)
    assert_type(await client.upload(uploaded_last, integers(), 2), Answer)
    async for answer in client.stream(chat, items=words()):
        assert_type(answer, Answer)
    async for answer in client.stream(numbers_of, 1, tokens=user):
        assert_type(answer, Answer)


async def requests_that_fit_no_parameter(client: Client) -> None:
    await client.call(token_then_body, 1)  # E: arg-type, reportCallIssue
    await client.call(body_then_context, 1)  # E: misc, reportGeneralTypeIssues
    await client.call(context_then_body, 1)  # E: arg-type, reportCallIssue
    await client.call(plain_fields, "x")  # E: arg-type, reportCallIssue
    await client.call(nothing, question)  # E: arg-type, reportCallIssue
    await client.upload(uploaded, words())  # E: arg-type, reportCallIssue
    await client.upload(uploaded_last, words())  # E: arg-type, reportCallIssue
    client.stream(chat, items=integers())  # E: arg-type, reportCallIssue


async def calls_of_the_wrong_kind(client: Client) -> None:
    await client.call(changes, 1)  # E: misc, reportGeneralTypeIssues
    await client.call(shout)  # E: misc, reportGeneralTypeIssues
    await client.call(total)  # E: misc, reportGeneralTypeIssues
    await client.call(uploaded, {"scale": 1})  # E: misc, reportGeneralTypeIssues
    await client.gather(changes, 1)  # E: misc, reportGeneralTypeIssues
    client.stream(help, question)  # E: arg-type, reportCallIssue
    client.stream(plain_fields, {"a": 1, "b": 2})  # E: arg-type, reportCallIssue
    client.stream(total, items=integers())  # E: arg-type, reportCallIssue
    await client.upload(help, integers())  # E: arg-type, reportCallIssue
    await client.upload(changes, integers())  # E: arg-type, reportCallIssue


async def wrong_use_of_results(client: Client) -> None:
    text: str = await client.call(token, tokens=user)  # E: arg-type, reportAssignmentType
    text = await client.call(tokens_then_body, question)  # E: arg-type, reportAssignmentType
    text = await client.call(plain_fields, {"a": 1, "b": 2})  # E: arg-type, reportAssignmentType
    text = await client.upload(uploaded, integers())  # E: arg-type, reportAssignmentType
    print(text)


async def what_is_not_typed(client: Client, handler: Any, body: Any) -> None:
    assert_type(await client.call(handler, question), Any)
    await client.call(help, body)
    await client.call(token_then_body, body)

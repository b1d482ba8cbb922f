"""Callers and replicas of two versions: whatever does not fit is refused by the field's name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from natsrpc.errors import ContractError, DecodeError, InvalidRequestError
from natsrpc.rpc import Client, EndpointContract, Service
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path


class Question(BaseModel):
    topic: str


class LaterQuestion(BaseModel):
    topic: str
    language: str


class Answer(BaseModel):
    text: str
    sources: list[str]


class LaterAnswer(BaseModel):
    text: str
    sources: list[dict[str, str]]


def earlier(subject: str) -> Service:
    service = Service("desk", version="1.4.0")

    @service.handler(subject, name="help")
    async def help(question: Question) -> Answer:
        return Answer(text=question.topic, sources=["a"])

    return service


def stricter(subject: str) -> Service:
    """Takes less than its callers send."""
    service = Service("desk", version="2.0.0")

    @service.handler(subject, name="help")
    async def help(question: LaterQuestion) -> Answer:
        return Answer(text=question.language, sources=["a"])

    return service


def answering_otherwise(subject: str) -> Service:
    """Answers what its callers do not expect."""
    service = Service("desk", version="2.0.0")

    @service.handler(subject, name="help")
    async def help(question: Question) -> LaterAnswer:
        return LaterAnswer(text=question.topic, sources=[{"of": "b"}])

    return service


async def outcomes(client: Client, subject: str, count: int = 60) -> list[Any]:
    contract = EndpointContract("help", subject, "q", request_type=Question, response_type=Answer)
    calls = [client.call(contract, Question(topic="x")) for _ in range(count)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def mixed(
    client: Client, second: Client, subject: str, later: Callable[[str], Service]
) -> tuple[set[str], list[BaseException]]:
    """What calls gave that reached replicas of two versions in one queue group."""
    async with client.serve(earlier(subject)), second.serve(later(subject)):
        found = await outcomes(client, subject)
    answers = {each.text for each in found if isinstance(each, Answer)}
    errors = [each for each in found if isinstance(each, BaseException)]
    assert answers, "no call reached the replica that keeps the contract"
    assert errors, "no call reached the other one"
    return answers, errors


async def test_request_that_a_replica_refuses_is_told_by_field_and_version(
    client: Client, other: Client, unique: str
) -> None:
    answers, errors = await mixed(client, other, unique, stricter)
    assert answers == {"x"}
    for error in errors:
        assert isinstance(error, InvalidRequestError)
        assert str(error) == "language: Field required (desk 2.0.0)"
        assert error.details == [{"path": "language", "reason": "Field required"}]


async def test_reply_that_does_not_fit_is_told_by_field_and_subject(
    client: Client, other: Client, unique: str
) -> None:
    answers, errors = await mixed(client, other, unique, answering_otherwise)
    assert answers == {"x"}
    for error in errors:
        assert isinstance(error, ContractError)
        assert error.subject == unique
        assert [each["path"] for each in error.errors] == ["sources.0"]
        assert str(error).startswith(f"the reply of {unique!r} does not fit: ")
        assert "sources.0: Input should be a valid string" in str(error)
        assert "'b'" not in str(error), "values stay where they are"


async def test_a_reply_in_no_known_form_is_told_too(client: Client, unique: str) -> None:
    async def answer(msg: Any) -> None:
        await msg.respond(b"<html>")

    await client.connection.subscribe(unique, cb=answer)
    with pytest.raises(ContractError, match="not JSON") as caught:
        await client.call(unique, None, Answer)
    assert caught.value.malformed
    assert isinstance(caught.value, DecodeError)


async def test_a_reply_with_headers_is_held_to_the_type_as_well(
    client: Client, unique: str
) -> None:
    async def answer(msg: Any) -> None:
        await msg.respond(b'{"text": 3}', headers={"X": "y"})

    await client.connection.subscribe(unique, cb=answer)
    with pytest.raises(ContractError) as caught:
        await client.call(unique, None, Answer)
    assert {each["path"] for each in caught.value.errors} == {"text", "sources"}


async def test_every_replica_s_misfit_is_in_what_was_gathered(client: Client, unique: str) -> None:
    service = Service("desk", version="2.0.0", queue_group=None)

    @service.handler(unique)
    async def help(question: Question) -> LaterAnswer:
        return LaterAnswer(text="x", sources=[{}])

    async with client.serve(service):
        (found,) = await client.gather(unique, Question(topic="x"), Answer, max_responses=1)
    assert isinstance(found, ContractError)


async def test_an_item_of_a_stream_that_does_not_fit_ends_it(client: Client, unique: str) -> None:
    service = Service("desk", version="2.0.0")

    @service.handler(unique)
    async def ticks(count: int) -> AsyncIterator[int | str]:
        yield count
        yield "three"

    seen = []
    async with client.serve(service):
        with pytest.raises(ContractError, match=f"reply of '{unique}'"):
            async for item in client.stream(unique, 2, int):
                seen.append(item)  # noqa: PERF401 - kept when the loop ends with an error
    assert seen == [2]


async def test_an_upload_s_answer_is_held_to_the_type(client: Client, unique: str) -> None:
    service = Service("desk", version="2.0.0")

    @service.handler(unique)
    async def total(numbers: AsyncIterator[int]) -> str:
        return str([number async for number in numbers])

    async def numbers() -> AsyncIterator[int]:
        yield 1

    async with client.serve(service):
        with pytest.raises(ContractError, match="valid integer"):
            await client.upload(unique, numbers(), returns=int)

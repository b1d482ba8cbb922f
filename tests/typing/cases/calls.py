"""Calls by subject and by handler: what they give, and what they refuse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, assert_type

from annotated_types import Gt

from natsrpc import Client, Context

from .models import (
    Answer,
    Desk,
    Question,
    add,
    count,
    depending,
    help,
    order,
    plain,
    reset,
    uptime,
    whole,
)

question = Question(topic="types")


def handlers_stay_what_they_were() -> None:
    as_written: Callable[[Question], Awaitable[Answer]] = help
    without_loop: Callable[[Question], list[Answer]] = plain
    wrong: Callable[[str], Awaitable[Answer]] = help  # E: assignment, reportAssignmentType
    assert_type(plain(question), list[Answer])
    assert_type(count(), int)
    help("a string")  # E: unused-coroutine, arg-type, reportUnusedCoroutine, reportArgumentType
    print(as_written, without_loop, wrong)


async def handlers_are_called_as_they_are() -> None:
    assert_type(await help(question), Answer)
    assert_type(await add(1, b=2), int)
    await add("1")  # E: arg-type, reportArgumentType


async def by_subject(client: Client) -> None:
    assert_type(await client.call("help", question, Answer), Answer)
    assert_type(await client.call("help", question, returns=Answer, timeout=1.0), Answer)
    assert_type(await client.call("help", returns=Answer), Answer)
    assert_type(await client.call("help", question, list[Answer]), list[Answer])
    assert_type(await client.call("help", question, dict[str, Answer]), dict[str, Answer])
    assert_type(await client.call("help", question, bytes), bytes)
    assert_type(await client.call("help", question, Answer | None), Answer | None)
    assert_type(await client.call("help", question, Literal["yes", "no"]), Literal["yes", "no"])
    assert_type(await client.call("help", question, Annotated[int, Gt(0)]), int)
    assert_type(await client.call("help", question, None), None)
    assert_type(await client.call("help", question, Any), Any)
    assert_type(await client.call("help", question), Any)
    assert_type(await client.call("help"), Any)


async def by_handler(client: Client) -> None:
    assert_type(await client.call(help, question), Answer)
    assert_type(await client.call(help, question, timeout=None), Answer)
    assert_type(await client.call(help, question, headers={"X": "y"}, codec="msgpack"), Answer)
    assert_type(await client.call(Desk().help, question), Answer)
    assert_type(await client.call(add, {"a": 1, "b": 2}), int)
    assert_type(await client.call(whole, question), Answer)
    assert_type(await client.call(depending, question), str)
    assert_type(await client.call(order, question, tokens={"user": "me"}), list[Answer])
    assert_type(await client.call(plain, question), list[Answer])
    assert_type(await client.call(count), int)
    assert_type(await client.call(uptime), float)
    assert_type(await client.call(reset), None)


async def wrong_requests(client: Client) -> None:
    await client.call(help, "a string")  # E: arg-type, reportCallIssue
    await client.call(help, Answer(text="x"))  # E: arg-type, reportCallIssue
    await client.call(add, "a string")  # E: arg-type, reportCallIssue
    await client.call(whole, "a string")  # E: misc, reportGeneralTypeIssues
    await client.call(plain, "a string")  # E: arg-type, reportCallIssue
    await client.call(count, question)  # E: arg-type, reportCallIssue
    await client.call(Desk().help, 1)  # E: arg-type, reportCallIssue


async def wrong_options(client: Client) -> None:
    await client.call(help, question, timuot=1.0)  # E: call-overload, reportCallIssue
    await client.call(help, question, timeout="1s")  # E: call-overload, reportCallIssue
    await client.call("help", question, headers=["a"])  # E: call-overload, reportCallIssue
    await client.call(12, question, Answer)  # E: call-overload, reportCallIssue


async def wrong_use_of_results(client: Client) -> None:
    text: str = await client.call(help, question)  # E: arg-type, reportAssignmentType
    text = await client.call("help", question, Answer)  # E: arg-type, reportAssignmentType
    answer = await client.call(help, question)
    print(text, answer.txet)  # E: attr-defined, reportAttributeAccessIssue


async def within_a_handler(client: Client, context: Context) -> Answer:
    return await client.call(help, question, timeout=context.time_left())

"""Requests that give all of a reply, and what errors carry."""

from __future__ import annotations

from typing import Any, assert_type

import natsrpc
from natsrpc import Client, Headers, Reply

from .models import Answer, Question, add, count, help, order, plain, uptime, whole

question = Question(topic="types")


async def by_subject(client: Client) -> None:
    reply = await client.request("help", question, Answer)
    assert_type(reply, Reply[Answer])
    assert_type(reply.value, Answer)
    assert_type(reply.headers, Headers)
    assert_type(reply.subject, str)
    assert_type(await client.request("help", returns=list[Answer]), Reply[list[Answer]])
    assert_type(await client.request("help", question), Reply[Any])
    assert_type(await client.request("help", question, Answer | None), Reply[Answer | None])


async def by_handler(client: Client) -> None:
    assert_type(await client.request(help, question), Reply[Answer])
    assert_type(await client.request(add, {"a": 1, "b": 2}), Reply[int])
    assert_type(await client.request(whole, question, timeout=1.0), Reply[Answer])
    tokens = {"user": "ann"}
    assert_type(await client.request(order, question, tokens=tokens), Reply[list[Answer]])
    assert_type(await client.request(plain, question), Reply[list[Answer]])
    assert_type(await client.request(count), Reply[int])
    assert_type(await client.request(uptime), Reply[float])


async def wrong(client: Client) -> None:
    await client.request(help, "a string")  # E: arg-type, reportCallIssue
    await client.request(help, question, timuot=1.0)  # E: call-overload, reportCallIssue
    reply = await client.request(help, question)
    reply.value = Answer(text="other")  # E: misc, reportAttributeAccessIssue
    print(reply.values)  # E: attr-defined, reportAttributeAccessIssue


def covariant(reply: Reply[bool]) -> Reply[int]:
    return reply


def of_an_error(error: natsrpc.RpcError) -> None:
    assert_type(error.headers.get("Retry-After"), str | None)
    assert_type(error.headers["Retry-After"], str)
    assert_type(dict(error.headers.items()), dict[str, str])
    assert_type(error.relayed, bool)
    assert_type(error.came_from, str)

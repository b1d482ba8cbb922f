"""The blocking client: the types are those of the async one, without an `await`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, assert_type

import natsrpc.sync
from natsrpc import Event, Policy, Reply
from natsrpc.sync import Client, Stream

from .models import (
    Answer,
    Failure,
    HelpDesk,
    Question,
    add,
    changes,
    changes_of,
    help,
    order,
    plain,
    reset,
    shout,
    ticks,
    total,
    uptime,
    whole,
)

question = Question(topic="types")


class Desk(Protocol):
    def help(self, question: Question) -> Answer: ...

    def changes(self, since: int) -> Iterator[Answer]: ...

    def total(self, numbers: Iterable[int]) -> int: ...


def connected() -> None:
    assert_type(natsrpc.sync.connect("nats://127.0.0.1:4222", name="script", lazy=True), Client)
    with natsrpc.sync.connect(codec="msgpack", ping_interval=10.0) as client:
        assert_type(client, Client)
    natsrpc.sync.connect(ping_interval="soon")  # E: arg-type, reportArgumentType


def calls(client: Client) -> None:
    assert_type(client.call("help", question, Answer), Answer)
    assert_type(client.call("help", returns=Answer, timeout=1.0), Answer)
    assert_type(client.call("help", question, Answer | None), Answer | None)
    assert_type(client.call("help"), Any)
    assert_type(client.call(help, question), Answer)
    assert_type(client.call(add, {"a": 1, "b": 2}), int)
    assert_type(client.call(reset), None)
    assert_type(client.call(uptime), float)
    assert_type(client.call(whole, question, policy=Policy()), Answer)
    assert_type(client.call(order, question, tokens={"user": "me"}), list[Answer])
    assert_type(client.call(plain, question), list[Answer])
    assert_type(client.request("help", question, Answer), Reply[Answer])
    assert_type(client.request(help, question), Reply[Answer])
    assert_type(client.request(plain, question), Reply[list[Answer]])


def refused(client: Client) -> None:
    client.call(help, "a string")  # E: arg-type, reportCallIssue
    items: list[int] = client.call(ticks)  # E: assignment, reportAssignmentType
    sum_: int = client.call(total)  # E: assignment, reportAssignmentType
    text: str = client.call(help, question)  # E: assignment, reportAssignmentType
    client.call(help, question, timeout="soon")  # E: call-overload, reportCallIssue
    client.stream(help, question)  # E: arg-type, reportCallIssue
    print(items, sum_, text)


def streams(client: Client) -> None:
    assert_type(client.stream("changes", 1, Answer), Stream[Answer])
    for change in client.stream(changes, 1, idle_timeout=5.0):
        assert_type(change, Answer)
    with client.stream(changes_of, 1) as found:
        assert_type(next(found), Answer)
    assert_type(list(client.stream(ticks)), list[int])
    assert_type(list(client.stream(shout, items=["a"])), list[str])
    assert_type(client.upload(total, [1, 2]), int)
    assert_type(client.upload("total", iter([1]), returns=int), int)
    client.stream(shout, items=[1])  # E: arg-type, reportCallIssue


def others(client: Client) -> None:
    assert_type(client.gather("help", question, Answer), list[Answer | Failure])
    assert_type(client.gather(help, question, stall=0.1), list[Answer | Failure])
    client.publish("news", question, headers={"X": "y"})
    client.publish(Event("asked", Question), question, tokens={"floor": "1"})
    client.publish(Event("asked", Question), 3)  # E: misc, reportCallIssue
    desk = client.bind(Desk)
    assert_type(desk, Desk)
    assert_type(desk.help(question), Answer)
    assert_type(list(desk.changes(1)), list[Answer])
    assert_type(desk.total([1]), int)
    assert_type(client.bind(HelpDesk, "desk", timeout=1.0), HelpDesk)

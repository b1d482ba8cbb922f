"""`bind`: a proxy has the type of what it stands for."""

from __future__ import annotations

from typing import assert_type

from natsrpc import Client

from .models import Answer, Desk, HelpDesk, Question

question = Question(topic="types")


async def protocol(client: Client) -> None:
    desk = client.bind(HelpDesk)
    assert_type(desk, HelpDesk)
    assert_type(await desk.help(question), Answer)
    assert_type(await desk.add(1, b=2), int)
    assert_type(await desk.add(1), int)


async def plain_class(client: Client) -> None:
    desk = client.bind(Desk, "desk", timeout=1.0)
    assert_type(desk, Desk)
    assert_type(await desk.help(question), Answer)


async def refused(client: Client) -> None:
    desk = client.bind(HelpDesk)
    await desk.help("a string")  # E: arg-type, reportArgumentType
    await desk.help()  # E: call-arg, reportCallIssue
    await desk.add(1, c=2)  # E: call-arg, reportCallIssue
    await desk.hepl(question)  # E: attr-defined, reportAttributeAccessIssue
    text: str = await desk.help(question)  # E: assignment, reportAssignmentType
    client.bind(Desk, timeout="soon")  # E: arg-type, reportArgumentType
    print(text)

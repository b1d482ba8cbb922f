"""Code that stands twice, because a call would cost too much, and is held equal here.

Each copy is compared with its original by the syntax tree, so an edit of one without the other
fails, whatever it changes. Names that differ are translated first.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from natsrpc.core import Connection, Msg
from natsrpc.core.link import Outbound
from natsrpc.core.requests import RequestMux
from natsrpc.core.session.session import Session
from natsrpc.core.session.transport import Transport
from natsrpc.core.subscriptions.sinks import Intake
from natsrpc.core.wire import bulk
from natsrpc.core.wire.parser import Parser
from natsrpc.jetstream import JsMsg

Function = Callable[..., Any]


def body(function: Function) -> list[ast.stmt]:
    """The statements of a function, without its docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    statements = definition.body
    return statements[1:] if ast.get_docstring(definition) else statements


def text(statements: Sequence[ast.stmt], **names: str) -> str:
    """The source of statements as Python itself would lay it out, with names translated."""
    written = "\n".join(map(ast.unparse, statements))
    for name, other in names.items():
        written = re.sub(rf"\b{name}\b", other, written)
    return written


def branch(statements: Sequence[ast.stmt], test: str) -> ast.If:
    """The `if` with this test among the statements, or `elif` of one of them."""
    for statement in statements:
        while isinstance(statement, ast.If):
            if ast.unparse(statement.test) == test:
                return statement
            if len(statement.orelse) != 1:
                break
            statement = statement.orelse[0]
    raise AssertionError(f"no 'if {test}'")


def starting_at(statements: Sequence[ast.stmt], beginning: str) -> list[ast.stmt]:
    """The statements from the one on that begins so."""
    for number, statement in enumerate(statements):
        if ast.unparse(statement).startswith(beginning):
            return list(statements[number:])
    raise AssertionError(f"no statement begins with {beginning!r}")


WRITE = text(body(Transport.write), self="transport")


def test_send_writes_as_the_transport_does() -> None:
    in_place = branch(body(Outbound.send), "transport is None").orelse
    assert text(in_place) == WRITE


def test_put_writes_and_counts_as_send_does() -> None:
    send, put = body(Outbound.send), body(Outbound.put)
    assert text(put) == text(starting_at(send, "transport = self.transport"))


def test_an_ack_does_in_place_what_put_does() -> None:
    (sending,) = (each for each in body(JsMsg.ack) if isinstance(each, ast.Try))
    put = text(branch(body(Outbound.put), "transport is None").orelse)
    count = text(starting_at(body(Outbound.put), "self.sent_msgs"), self="out", size="4")
    assert text(branch(sending.body, "transport is None").orelse) == f"{put}\n{count}"


def test_publish_does_in_place_what_send_does() -> None:
    send = body(Outbound.send)
    build = branch(send, "reply").orelse
    count = starting_at(send, "self.sent_msgs")
    expected = [text(build, subject="encoded"), WRITE, text(count, self="outbound")]
    publish = body(Connection.publish)
    test = "reply or headers or transport is None or (size > outbound.max_copied)"
    assert text(branch(publish, test).orelse) == "\n".join(expected)


def test_request_does_in_place_what_the_mux_does() -> None:
    original = starting_at(body(RequestMux.request), "if self._output.congested")
    (waiting,) = (statement for statement in original if isinstance(statement, ast.Try))
    (handler,) = waiting.handlers
    handler.name = None  # `abandoned`, which only the mux's own callers give, is told of it
    handler.body = [each for each in handler.body if not isinstance(each, ast.If)]
    copy = starting_at(body(Connection.request), "if self._outbound.congested")
    expected = text(original).replace("self._output", "self._outbound")
    expected = expected.replace("self.", "mux.").replace("mux._outbound", "self._outbound")
    expected = expected.replace("NoRespondersError(decode(subject))", "NoRespondersError(subject)")
    expected = expected.replace(
        "mux.begin(subject, data, headers, timeout)", "mux.begin(encoded, data, block, timeout)"
    )
    assert text(copy) == expected


PLACED, *QUEUEING = (Intake._take_in_place, Intake._take_pending, Intake._take_into_queue)  # noqa: SLF001  what is compared


@pytest.mark.parametrize("sink", QUEUEING)
def test_all_sinks_begin_alike_and_those_that_queue_end_as_the_other_goes_on(
    sink: Function,
) -> None:
    first, other = body(PLACED), body(sink)
    assert text(other[:3]) == text(first[:3])
    for needed in ("_look_at_headers", "received += 1", "msg.sub"):
        assert needed in text(first[:3])
    assert text(other[-1:]) == text(first[3:4])
    assert "_reap" in text(other[-1:])


def made(function: Function) -> list[str]:
    """The fields that a function sets on the message that it makes, in order."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return [
        target.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "msg"
    ]


MAKERS: list[Function] = [bulk.take_run, Parser.feed, Parser._message]  # noqa: SLF001  what is compared


@pytest.mark.parametrize("maker", MAKERS)
def test_a_message_made_without_its_constructor_has_all_its_fields(maker: Function) -> None:
    assert made(maker) == made(MAKERS[0])
    assert sorted(made(maker)) == sorted(Msg.__slots__)


def test_a_chunk_is_dispatched_in_place_as_single_messages_are() -> None:
    (attempt,) = (each for each in body(Session._receive) if isinstance(each, ast.Try))  # noqa: SLF001  what is compared
    (loop,) = (each for each in attempt.body if isinstance(each, ast.For))
    in_place = starting_at(loop.body, "sink = ")[:2]
    (dispatch,) = in_place[1:]
    assert isinstance(dispatch, ast.If)
    dispatch.orelse = []  # frames of another kind, which `go_live` looks at first
    copy = text(in_place, event="msg", host="self._host", sinks="self._host.sinks")
    assert copy == text(body(Session._dispatch))  # noqa: SLF001  what is compared

"""`Client.call` holds a copy of the general path: the two are compared statement by statement."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc import core
from natsrpc.core import Msg
from natsrpc.core.requests import RequestMux
from natsrpc.rpc import Client
from natsrpc.rpc.calling.bound import BoundCall
from natsrpc.rpc.calling.unary import Unary
from natsrpc.testing import Broker
from tests.rpc.paths import InPlaceClient, pass_on

GIVEN_UP = "isinstance(error, (asyncio.CancelledError, NatsTimeoutError))"


def statements(function: Callable[..., Any]) -> list[ast.stmt]:
    """The body of a function, without its docstring."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.AsyncFunctionDef | ast.FunctionDef)
    return definition.body[1:] if ast.get_docstring(definition) else definition.body


class Put(ast.NodeTransformer):
    """Puts other expressions in the place of some, each given as text."""

    def __init__(self, others: dict[str, str]) -> None:
        self._others = others

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr):
            other = self._others.get(ast.unparse(node))
            if other is not None:
                return ast.parse(other, mode="eval").body
        return self.generic_visit(node)


def put(body: list[ast.stmt], others: dict[str, str]) -> list[ast.stmt]:
    changed = (Put(others).visit(statement) for statement in body)
    return [statement for statement in changed if isinstance(statement, ast.stmt)]


def text(body: list[ast.stmt]) -> str:
    return "\n".join(map(ast.unparse, body))


def prepared() -> list[ast.stmt]:
    """`BoundCall.prepare`, outside of a handler and without headers."""
    encode, outer, choose, result = statements(BoundCall.prepare)
    assert ast.unparse(outer) == "outer = inherited.get()"
    assert isinstance(choose, ast.If)
    assert ast.unparse(choose.test) == "outer is None"
    assert ast.unparse(result) == (
        "return (data, with_headers(block, headers) if headers else block, wait)"
    )
    return put([encode, *choose.body], {"self": "bound"})


def requested() -> list[ast.stmt]:
    """`RequestMux.request` of a bound call, on a connection that is not congested."""
    congested, *rest, result = statements(RequestMux.request)
    assert isinstance(congested, ast.If)
    assert ast.unparse(congested.test).endswith(".congested")
    assert ast.unparse(result) == "return msg"
    return put(
        rest,
        {
            f"abandoned is not None and {GIVEN_UP}": GIVEN_UP,
            "decode(subject)": "bound.subject.decode()",
            "subject": "bound.subject",
            "headers": "block",
            "timeout": "wait",
            "abandoned": "bound.abandoned",
            "self.begin": "self._begin",
            "self.abandon": "self._abandon",
        },
    )


def general() -> list[ast.stmt]:
    """`Unary.attempt`, with what it calls put into it."""
    prepare, send, *rest = statements(Unary.attempt)
    assert ast.unparse(prepare) == ("data, block, wait = bound.prepare(request, timeout, headers)")
    assert isinstance(send, ast.Try)
    assert text(send.body) == (
        "msg = await self._request(bound.subject, data, block, wait, bound.abandoned)"
    )
    send.body = requested()
    whole = [*prepared(), send, *rest]
    return put(whole, {"self.send_large": "self._pipeline.unary.send_large"})


def test_a_call_in_place_does_what_the_general_one_does() -> None:
    body = statements(Client.call)
    start = next(n for n, each in enumerate(body) if ast.unparse(each).startswith("data = "))
    # `BoundCall.block` looks there first, too
    copy = put(
        body[start:],
        {"bound.blocks.get(timeout) or bound.block(timeout)": "bound.block(timeout)"},
    )
    assert text(copy) == text(general())


def test_what_a_call_in_place_leaves_out_is_made_the_general_way() -> None:
    conditions = [each for each in statements(Client.call) if isinstance(each, ast.If)]
    _, choose, special, _ = conditions  # the last is of the copy
    assert ast.unparse(choose.test) == "bound is None or scoped()"
    assert ast.unparse(special.test) == (
        "headers or self._outbound.congested or inherited.get() is not None"
    )


async def test_calls_take_the_path_that_tests_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(msg: Msg) -> None:
        msg.respond_nowait(b"5")

    async def refuse(*_: object) -> None:
        raise NotImplementedError

    broker = Broker()
    async with (
        InPlaceClient(await broker.connect()) as in_place,
        Client(await broker.connect()) as general_way,
        core.connect("nats://memory:4222", **broker.options()) as worker,
    ):
        await worker.subscribe("five", cb=answer)
        await worker.flush()
        general_way.middleware(pass_on)
        assert await general_way.call("five", returns=int) == 5
        monkeypatch.setattr(Unary, "attempt", refuse)
        assert await in_place.call("five", returns=int) == 5
        with pytest.raises(NotImplementedError):
            await general_way.call("five", returns=int)

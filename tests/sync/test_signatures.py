"""The blocking client's signatures are the async client's: names, order, defaults and overloads.

They are written twice, for type checkers read nothing else. This holds the two equal.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import natsrpc
import natsrpc.sync
from natsrpc.rpc.calling import Requests
from natsrpc.sync.requests import Requests as BlockingRequests

ROOT = Path(__file__).parents[2] / "natsrpc"
WAYS = [
    "call", "request", "stream", "upload", "gather", "bind", "publish", "enqueue", "middleware",
    "observe",
]  # fmt: skip
ONLY_ASYNC = {"connection", "codec", "serve", "settled"}
"""What belongs to a loop, serves, or is for tests of services."""

PLAIN = {
    "AsyncGenerator[T, None]": "Stream[T]",
    "AsyncGenerator[Any, None]": "Stream[Any]",
    "AsyncIterable[A]": "Iterable[A]",
    "AsyncIterable[Any]": "Iterable[Any]",
    "AsyncIterable[Any] | None": "Iterable[Any] | None",
    "Errors": "tuple[type[RpcError], ...]",
}
"""What an async client's parameter or result is in a blocking one."""


def method(client: type, name: str) -> Callable[..., Any]:
    if name == "request":
        return Requests.__call__ if client is natsrpc.Client else BlockingRequests.__call__
    found: Callable[..., Any] = getattr(client, name)
    return found


def public(client: type) -> set[str]:
    return {name for name in vars(client) if not name.startswith("_")}


def test_every_way_to_call_is_there() -> None:
    theirs = (public(natsrpc.Client) | {"request"}) - ONLY_ASYNC
    assert public(natsrpc.sync.Client) | {"request"} == theirs
    assert set(WAYS) | {"policy", "observer", "drain", "close"} == theirs


@pytest.mark.parametrize("name", WAYS)
def test_parameters_are_the_same(name: str) -> None:
    def rows(client: type) -> list[tuple[str, Any, Any, Any]]:
        return [
            (each.name, each.kind, each.default, PLAIN.get(each.annotation, each.annotation))
            for each in inspect.signature(method(client, name)).parameters.values()
        ]

    assert rows(natsrpc.sync.Client) == rows(natsrpc.Client)


def overloads(file: Path, class_: str, name: str) -> list[tuple[list[str], str]]:
    """The parameters and the result of each, as plain ones."""
    (found,) = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == class_
    ]
    rows: list[tuple[list[str], str]] = []
    for node in found.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != name:
            continue
        if [ast.unparse(each) for each in node.decorator_list] != ["overload"]:
            continue
        every = [*node.args.args, *node.args.kwonlyargs, node.args.kwarg]
        parameters: list[str] = []
        for each in every:
            if each is not None and each.annotation is not None:
                type_ = ast.unparse(each.annotation)
                # of a handler's own parameters the types stay what they are
                plain = PLAIN.get(type_, type_) if each.arg in ("items", "errors") else type_
                parameters.append(f"{each.arg}: {plain}")
        parameters += [ast.unparse(each) for each in node.args.defaults]
        assert node.returns is not None
        result = ast.unparse(node.returns)
        rows.append((parameters, PLAIN.get(result, result)))
    return rows


@pytest.mark.parametrize(
    "name", ["call", "request", "stream", "upload", "gather", "publish", "enqueue"]
)
def test_overloads_are_the_same(name: str) -> None:
    if name == "request":
        mine = overloads(ROOT / "sync/requests.py", "Requests", "__call__")
        theirs = overloads(ROOT / "rpc/calling/requests.py", "Requests", "__call__")
    else:
        mine = overloads(ROOT / "sync/client.py", "Client", name)
        theirs = overloads(ROOT / "rpc/client.py", "Client", name)
    assert mine == theirs
    assert mine


def test_both_say_what_they_raise() -> None:
    for name in WAYS:
        text = inspect.getdoc(method(natsrpc.sync.Client, name)) or ""
        assert "Raises:" in text or name in ("middleware", "request", "observe"), name

"""A class says by an attribute of its own how a parameter of its type is read."""

from __future__ import annotations

from typing import Any, cast

import pytest

from natsrpc import Context
from natsrpc.core import Msg
from natsrpc.errors import ConfigError
from natsrpc.rpc.signature.plan import plan


class Desk:
    """A class that a handler may ask for."""

    __natsrpc_source__ = staticmethod(lambda context: ("desk of", context))


class OtherDesk(Desk):
    """What the reader of its base gives is no instance of it."""


async def ask(desk: Desk, number: int) -> int:
    return number


async def ask_other(desk: OtherDesk) -> None: ...


async def ask_perhaps(desk: Desk | None) -> None: ...


async def ask_raw(msg: Msg, context: Context) -> None: ...


def test_the_reader_of_the_class_is_called_with_the_context() -> None:
    ((name, read),) = plan(ask).sources
    context = cast(Context, object())
    assert name == "desk"
    assert read(context) == ("desk of", context)
    assert plan(ask).request_type is int


def test_message_and_context_are_read_by_class() -> None:
    assert [name for name, _ in plan(ask_raw).sources] == ["msg", "context"]


@pytest.mark.parametrize("function", [ask_other, ask_perhaps])
def test_anything_but_the_class_itself_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"'desk'.*annotate it as plain Desk"):
        plan(function)

"""The two ways that a call may go, for tests to be run by both.

A client's first call of a kind takes the general path (`Unary.attempt`), further ones are made in
place (`Client.call`); middleware, policies, headers and others make all of them general. A module
that says `path = either_path` has its `client` fixture take one path only, once each.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import pytest

from natsrpc.rpc import Call, Client, Middleware, Next

M = TypeVar("M", bound=Middleware[Call])

PATHS = ["in place", "general"]


@pytest.fixture(params=PATHS, name="path")
def either_path(request: pytest.FixtureRequest) -> str:
    """Run each test by both paths."""
    path: str = request.param
    return path


class InPlaceClient(Client):
    """Makes in place what can be made in place, the first call of a kind too."""

    has_middleware = False

    async def call(self, *args: Any, **options: Any) -> Any:
        if not self.has_middleware:
            with contextlib.suppress(Exception):  # it is bound; nothing is sent
                await super().call(*args, **{**options, "timeout": -1})
        return await super().call(*args, **options)

    def middleware(self, function: M) -> M:
        self.has_middleware = True
        return super().middleware(function)


async def pass_on(call: Call, call_next: Next[Call]) -> Any:
    """A middleware that does nothing: what it is put around is general."""
    return await call_next(call)

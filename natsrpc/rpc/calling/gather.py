"""Calls that many instances answer: `Client.gather`."""

from __future__ import annotations

from typing import Any, TypeAlias

from natsrpc.core import Connection, Headers
from natsrpc.errors import ConfigError, ContractError, RpcError

from .binding import Binder
from .bound import GRACE
from .call import Call

Failure: TypeAlias = "RpcError | ContractError"
"""The element of a gathered list that stands for an instance which answered with an error."""


class Gather:
    """The part of a client that asks every instance of an endpoint."""

    def __init__(self, connection: Connection, binder: Binder) -> None:
        self._connection = connection
        self._binder = binder

    async def perform(self, call: Call) -> list[Any]:
        """Ask all instances as a `Call` says, after any middleware, and collect their answers."""
        bound = self._binder.find(call)
        data, block, wait = bound.prepare(call.request, call.timeout, call.headers)
        if wait is None:
            raise ConfigError("gather needs a timeout")
        found: list[Any] = []
        async for msg in self._connection.request_many(
            bound.subject.decode(),
            data,
            timeout=wait - GRACE,
            stall=call.stall,
            max_msgs=call.max_responses,
            headers=Headers.decode(block),
        ):
            try:
                found.append(await bound.receive(msg, wait))
            except (RpcError, ContractError) as error:
                found.append(error)
        return found

"""Receiving the bodies of an endpoint's large requests, before they take the slot of a handler.

A head is acknowledged, and its body received, in one of the service's places for that; only then is
the request admitted like any other. So what a caller does with its body, or never does, keeps no
handler from running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from natsrpc.core import Msg
from natsrpc.errors import (
    DeadlineExceededError,
    NatsError,
    OverloadedError,
    RpcError,
    UnavailableError,
)

from ..streams import Conversations, Patience, Receiving
from .answers import Answers
from .slots import Gate


class Bodies:
    """Receives the large requests of one endpoint.

    Args:
        all_: the conversations of the connection.
        answers: what refuses them.
        gate: the places of the service.
        admit: takes a request whose body is here.
        largest: the largest body taken, in bytes.
        patience: how long callers are waited for.
        admits: which of their addresses are sent to.
    """

    def __init__(
        self,
        all_: Conversations,
        answers: Answers,
        gate: Gate,
        admit: Callable[[Msg, Receiving], None],
        *,
        largest: int,
        patience: Patience,
        admits: Callable[[bytes], bool],
    ) -> None:
        self._all = all_
        self._answers = answers
        self._gate = gate
        self._admit = admit
        self._largest = largest
        self._patience = patience
        self._admits = admits
        self._tasks: dict[asyncio.Task[None], RpcError | None] = {}
        self._aborted: RpcError | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, msg: Msg, deadline: float) -> None:
        """Take a head, if there is a place to receive its body in."""
        gate = self._gate
        if self._aborted is not None:
            self._answers.refuse(msg, self._aborted)
            return
        if gate.free <= 0:
            self._answers.refuse(msg, OverloadedError("too many large requests are being received"))
            return
        try:
            receiving = Receiving(
                self._all,
                msg,
                limit=self._largest,
                deadline=deadline,
                patience=self._patience,
                admits=self._admits,
            )
        except RpcError as error:
            self._answers.refuse(msg, error)
            return
        except NatsError as failure:
            self._answers.refuse(msg, self._answers.unheard(failure))
            return
        gate.free -= 1
        task = asyncio.ensure_future(self._receive(msg, receiving))
        self._tasks[task] = None
        receiving.on_stop = partial(self._end, task)

    async def _receive(self, msg: Msg, receiving: Receiving) -> None:
        task = asyncio.current_task()
        assert task is not None
        # only a body that is here, whole, lets the request in: whatever else ends this refuses it
        error: RpcError | None = UnavailableError("the request's body was not received")
        try:
            msg.data = await receiving.body()
            error = None
        except asyncio.CancelledError:
            error = self._tasks[task] or UnavailableError("the service is stopping")
        except TimeoutError:
            error = DeadlineExceededError("the deadline passed before the request's body was here")
        except RpcError as failure:
            error = failure
        except NatsError as failure:
            error = self._answers.unheard(failure)
        finally:
            del self._tasks[task]
            if error is None:
                self._admit(msg, receiving)
            else:
                self._answers.refuse(msg, error)
                receiving.close()
            self._gate.free += 1
            if self._gate.attention:
                self._gate.attend()

    def _end(self, task: asyncio.Task[None], error: RpcError) -> None:
        if task in self._tasks and self._tasks[task] is None:
            self._tasks[task] = error
            task.cancel()

    def abort(self, error: RpcError) -> None:
        """Answer all with an error, those that still come as well, and receive them no further."""
        self._aborted = error
        for task in list(self._tasks):
            self._end(task, error)

"""`Job`: one delivery of a message, from its arrival at a worker to the word about it.

A message that is delivered again while this process still handles it is the same job: the word goes
by the newest of its deliveries, and its handler runs once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from natsrpc.core import Msg
from natsrpc.errors import RpcError
from natsrpc.jetstream import JsMsg, tokens_of

Key = tuple[bytes, bytes]
"""What tells a message from all others: its sequence, and when it was stored. A stream that was
made anew counts from 1 again."""


class Job:
    """One message that a worker has, and what is to become of it.

    - `msg`: as it came first; the handler is given this one.
    - `latest`: its newest delivery, by which words are sent.
    - `attempt`: how often it was delivered, this time included.
    - `extended_at`: when the server began to wait for a word (`loop.time()`), the last time.
    - `extend_at`: when it is to be told to wait on.
    - `mark`: what the handler said is to become of it: an exception, or None for success; `UNSAID`
      where it said nothing.
    """

    __slots__ = (
        "attempt",
        "extend_at",
        "extended_at",
        "key",
        "latest",
        "mark",
        "msg",
    )

    def __init__(self, msg: JsMsg, attempt: int, key: Key, extended_at: float) -> None:
        self.msg: JsMsg = msg
        self.latest: JsMsg = msg
        self.attempt: int = attempt
        self.key: Key = key
        self.extended_at: float = extended_at
        self.extend_at: float = 0.0
        self.mark: BaseException | None = UNSAID

    @property
    def seq(self) -> int:
        """Its sequence in the stream."""
        return int(self.key[0])


UNSAID: Any = object()


def read_reply(msg: JsMsg) -> tuple[int, Key]:
    """How often a message was delivered, and its key.

    Raises:
        JetStreamError, ValueError: its reply subject is not of JetStream's form.
    """
    tokens = tokens_of(msg.raw_reply)
    return int(tokens[2]), (tokens[3], tokens[5])


class Work:
    """One run of a worker's handler: the jobs that it is given, one or a batch of them.

    `deadline` is when it is stopped. `why` is set once it was withdrawn: its handler was cancelled,
    and what it ends with means nothing. `msg` is None then, which is how a `Context` knows it.
    `readable` are those jobs of a batch that the handler is given; empty where that is all.
    """

    __slots__ = ("deadline", "jobs", "msg", "readable", "task", "why")

    task: asyncio.Task[None]
    why: RpcError

    def __init__(self, jobs: list[Job], deadline: float) -> None:
        self.jobs: list[Job] = jobs
        self.deadline: float = deadline
        self.msg: Msg | None = jobs[0].msg
        self.readable: list[Job] = []

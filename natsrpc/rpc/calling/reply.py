"""`Reply`: all that came with the answer to a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from natsrpc.core import Headers

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Reply(Generic[T_co]):
    """The answer to `Client.request`: its value, and what came with it.

    Args:
        value: what the handler returned.
        headers: those that the handler set for its reply; empty if there were none.
        subject: the subject that was called.
    """

    value: T_co
    headers: Headers
    subject: str

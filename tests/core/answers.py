"""What a scripted server answers to CONNECT: functions for its `listeners`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

from tests.core.harness import Frame, Peer


def says(*answers: bytes, close: bool = False) -> Callable[[Peer, Frame], None]:
    """Answers each CONNECT with these bytes."""

    def answer(peer: Peer, frame: Frame) -> None:
        if frame.op == b"CONNECT":
            for data in answers:
                peer.send(data)
            if close:
                peer.close()

    return answer


def refuses(texts: str | Iterable[str]) -> Callable[[Peer, Frame], None]:
    """Answers each CONNECT with an `-ERR` and hangs up: always the same one, or one after the
    other."""
    left: Iterator[str] = repeat(texts) if isinstance(texts, str) else iter(texts)

    def answer(peer: Peer, frame: Frame) -> None:
        if frame.op == b"CONNECT":
            peer.err(next(left))
            peer.close()

    return answer

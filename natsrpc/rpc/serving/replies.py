"""Requests whose answers would go where nobody asks from are dropped, before they are read.

A service without `reply_prefixes` looks no more than once at the reply subject of a call: its
endpoints do so themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from natsrpc.core import Msg, Sink
from natsrpc.errors import ConfigError

from ..headers import REWRITTEN, may_answer


def check_prefixes(prefixes: Sequence[str] | None) -> tuple[bytes, ...]:
    """The prefixes as bytes, with those of subjects that servers write; empty for no restriction.

    Raises:
        ConfigError: one is no text that begins a subject.
    """
    if prefixes is None:
        return ()
    if isinstance(prefixes, str | bytes) or not prefixes:
        expected = 'expected a sequence of strings, as in ("_INBOX.",)'
        raise ConfigError(f"reply_prefixes is {prefixes!r}: {expected}")
    for each in prefixes:
        is_text = isinstance(each, str) and each.isprintable()
        if not is_text or not each or each.startswith("$") or set(each) & set(" *>"):
            raise ConfigError(
                f"reply_prefixes has {each!r}: expected how a reply subject begins, as in '_INBOX.'"
            )
    return (*(each.encode() for each in prefixes), *REWRITTEN)


def guarded(sink: Sink, prefixes: tuple[bytes, ...], drop: Callable[[], object]) -> Sink:
    """A sink that takes what may be answered, or needs no answer; `drop` is told of the others."""

    def guard(msg: Msg) -> None:
        if not msg.raw_reply or may_answer(msg.raw_reply, prefixes):
            sink(msg)
        else:
            drop()

    return guard

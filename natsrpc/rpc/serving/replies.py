"""`Service(reply_prefixes=...)`: requests whose answers would go elsewhere are dropped.

Checked before anything of the request is read. A service without prefixes has no part of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from natsrpc.core import Msg, Sink
from natsrpc.errors import ConfigError

from ..headers import REWRITTEN
from .answers import Answers


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


def guarded(sink: Sink, prefixes: tuple[bytes, ...], answers: Answers) -> Sink:
    """A sink that takes what may be answered, or needs no answer, and counts what it drops."""
    if not prefixes:
        return sink

    def guard(msg: Msg) -> None:
        if not msg.raw_reply or msg.raw_reply.startswith(prefixes):
            sink(msg)
        else:
            answers.num_dropped += 1

    return guard

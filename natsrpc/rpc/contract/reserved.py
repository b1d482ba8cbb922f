"""Subjects that are no user's: what holds our token, and prefixes that NATS itself writes.

What is served, published or subscribed to is checked here, where it is written.
"""

from __future__ import annotations

from natsrpc.errors import BadSubjectError

TOKEN = b"_NATSRPC"
"""The token that is ours: what holds it is never a value."""


def is_reserved(subject: bytes) -> bool:
    """Whether a subject, or a reply subject, holds our token."""
    return b"._NATSRPC." in b".%b." % subject


def check_inbox_prefix(prefix: object) -> None:
    """Refuse a connection's `inbox_prefix` that no service answers to.

    Raises:
        BadSubjectError: it holds our token, so that services would take replies for their own.
    """
    if isinstance(prefix, str) and is_reserved(prefix.encode(errors="replace")):
        raise BadSubjectError(
            f"bad inbox prefix {prefix!r}: `_NATSRPC` is the token of what natsrpc itself sends, "
            "and services answer to no such subject",
            subject=prefix,
        )


def check_event_subject(subject: str) -> None:
    """Refuse a subject that no event has; `subject` is as it was written, tokens in braces.

    Raises:
        BadSubjectError: it begins as subjects of the server or inboxes do, or holds our token.
    """
    first = subject.partition(".")[0]
    if is_reserved(subject.encode(errors="replace")):
        reason = "`_NATSRPC` is the token of what natsrpc itself sends"
    elif first.startswith("$"):
        reason = "subjects that begin with `$` are the server's own"
    elif first == "_INBOX":
        reason = "`_INBOX` is where answers go"
    else:
        return
    text = f"bad subject {subject!r} of an event: {reason}; choose another, as 'shop.events.placed'"
    raise BadSubjectError(text, subject=subject)

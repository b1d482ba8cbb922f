"""Cancelling a call: a message to every worker of the endpoint, naming the request by its inbox.

A call that is not cancelled pays nothing for this. The worker that has the request is not known to
its caller, so the word goes to all of them, outside of any queue group; the one that has a request
with that reply subject stops it. Reply subjects are random and never repeat, so nobody can cancel
what they did not send.
"""

from __future__ import annotations

PREFIX = "_NATSRPC.cancel."


def cancel_subject(subject: str) -> str:
    """The subject on which workers of `subject` (wildcards allowed) listen for cancellations."""
    return PREFIX + subject


def cancel_bytes(subject: bytes) -> bytes:
    """`cancel_subject` for the subject of one request, encoded."""
    return PREFIX.encode() + subject

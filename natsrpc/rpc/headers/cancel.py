"""Subjects of ours, behind the service's own: `<subject>._NATSRPC.cancel` and `….large`.

A suffix passes wherever the subject passes: through exports, imports, mappings and permissions that
cover `calc.>`. What has the token `_NATSRPC` is never a value for a handler.

Cancelling a unary call is a message to every worker of the endpoint, naming the request by its
reply subject: the worker that has the request is not known to its caller. Reply subjects are random
and never repeat, so nobody can cancel what they did not send. A call that is not cancelled pays
nothing for this.
"""

from __future__ import annotations

from ..contract import TOKEN

MARK = b"." + TOKEN
"""What every subject of ours has behind the service's own."""

CANCEL = MARK + b".cancel"


def cancel_subject(subject: str) -> str:
    """Where the workers of `subject` (wildcards allowed) listen for cancellations."""
    return subject + CANCEL.decode()


def cancel_bytes(subject: bytes) -> bytes:
    """The same for the subject of one request, encoded."""
    return subject + CANCEL

"""Writing an answer while the dependencies of its handler are there, and sending just that.

An answer may need them: a row of a database reads its columns when they are asked for. And what
cannot be written is an error that they must see, so that nothing is committed for it. So a handler
whose dependencies clean up has its answer written first (`write_early`), and middleware, which
stands around all of it, finds it written.
"""

from __future__ import annotations

import contextlib
from typing import Any

from natsrpc.core import encode_headers
from natsrpc.errors import EncodeError

from ..contract import Context, gives_stream


def write_early(context: Context, answer: Any) -> None:
    """Write an answer and its headers. Items of a stream were written one by one.

    Raises:
        EncodeError: the answer is not of the handler's type, or cannot be written.
        BadHeaderError: one of the handler's headers cannot be sent.
    """
    if not gives_stream(context.endpoint.kind):
        context.written = answer, context.encode(answer)
    if context.has_reply_headers:
        encode_headers(context.reply_headers)


def encode_answer(context: Context, answer: Any, *, has_middleware: bool) -> bytes:
    """The data of an answer: what was written early stands, unless a middleware has changed it.

    It is written anew if it is another object, or one that may be changed in place. Where that
    fails, the answer lacks what the dependencies took with them: it is not the middleware's.

    Raises:
        EncodeError: it was not written early, or is another one, and cannot be written.
    """
    if context.written is None:
        return context.encode(answer)
    before, data = context.written
    if answer is not before:
        return context.encode(answer)
    if has_middleware and _is_plain(answer, context.endpoint.response_type):
        with contextlib.suppress(EncodeError):
            return context.encode(answer)
    return data


def _is_plain(answer: Any, type_: Any) -> bool:
    """Whether an answer is a container, or of just the type declared, so that middleware may change
    it in place. Others, such as rows, are converted when they are written, and are not to be read
    once more."""
    return isinstance(answer, dict | list | set) or type(answer) is type_

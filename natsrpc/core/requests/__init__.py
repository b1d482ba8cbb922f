"""Requests: the one inbox of a connection and what waits for replies there; many replies to one."""

from .inbox import new_inbox, random_text
from .many import MAX_BUFFERED, Inflight, read_replies
from .mux import RequestMux, is_no_responders
from .reply import Reply

__all__ = [
    "MAX_BUFFERED",
    "Inflight",
    "Reply",
    "RequestMux",
    "is_no_responders",
    "new_inbox",
    "random_text",
    "read_replies",
]

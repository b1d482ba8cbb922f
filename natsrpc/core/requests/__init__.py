"""Requests: by the one inbox of a connection, or by an inbox for each."""

from .inbox import new_inbox, random_text
from .many import InboxRequests
from .mux import RequestMux, is_no_responders
from .reply import Reply

__all__ = [
    "InboxRequests",
    "Reply",
    "RequestMux",
    "is_no_responders",
    "new_inbox",
    "random_text",
]

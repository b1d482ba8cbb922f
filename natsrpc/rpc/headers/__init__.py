"""The headers of a request: each is named, written and read in one file."""

from ..contract import TOKEN, is_reserved
from .cancel import MARK, cancel_bytes, cancel_subject
from .deadline import DeadlineClock, check_deadline_clock, deadline_line, read_deadline
from .depth import MAX_DEPTH, depth_line, read_depth
from .frame import (
    FRAME_BYTES,
    ITEM,
    MAX_HEADERS,
    frame,
    is_frame,
    item_frame,
    item_number,
    read_frame,
    with_frame,
    without_frame,
)
from .inherited import (
    NO_DEADLINE,
    CurrentRequest,
    Inherited,
    current_request,
    inherited,
    no_deadline,
)
from .max_reply import max_reply_line, read_max_reply
from .replies import REWRITTEN, may_answer
from .request_id import REQUEST_ID, request_id_line
from .timeout import GRACE, read_timeout, timeout_line, with_time_left

__all__ = [
    "FRAME_BYTES",
    "GRACE",
    "ITEM",
    "MARK",
    "MAX_DEPTH",
    "MAX_HEADERS",
    "NO_DEADLINE",
    "REQUEST_ID",
    "REWRITTEN",
    "TOKEN",
    "CurrentRequest",
    "DeadlineClock",
    "Inherited",
    "cancel_bytes",
    "cancel_subject",
    "check_deadline_clock",
    "current_request",
    "deadline_line",
    "depth_line",
    "frame",
    "inherited",
    "is_frame",
    "is_reserved",
    "item_frame",
    "item_number",
    "max_reply_line",
    "may_answer",
    "no_deadline",
    "read_deadline",
    "read_depth",
    "read_frame",
    "read_max_reply",
    "read_timeout",
    "request_id_line",
    "timeout_line",
    "with_frame",
    "with_time_left",
    "without_frame",
]

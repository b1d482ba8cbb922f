"""The headers of a request: each is named, written and read in one file."""

from .cancel import cancel_bytes, cancel_subject
from .depth import MAX_DEPTH, depth_line, read_depth
from .frame import FRAME_BYTES, control, read_control
from .inherited import NO_DEADLINE, Inherited, inherited, no_deadline
from .max_reply import max_reply_line, read_max_reply
from .timeout import read_timeout, timeout_line

__all__ = [
    "FRAME_BYTES",
    "MAX_DEPTH",
    "NO_DEADLINE",
    "Inherited",
    "cancel_bytes",
    "cancel_subject",
    "control",
    "depth_line",
    "inherited",
    "max_reply_line",
    "no_deadline",
    "read_control",
    "read_depth",
    "read_max_reply",
    "read_timeout",
    "timeout_line",
]

"""The NATS protocol as pure code: no I/O, clock, randomness or logging.

The session feeds the parser and writes frames. The other rooms of core take messages, headers and
the checks of subjects from here.
"""

from . import frames
from .frames import LARGE, Frame, LargeFrame
from .headers import MAX_UNASKED, NO_RESPONDERS, Headers, HeaderValues, encode_headers
from .info import ServerInfo
from .messages import (
    Err,
    Event,
    Info,
    Msg,
    Ok,
    Payload,
    Ping,
    Pong,
    Responder,
    Sink,
    payload_bytes,
)
from .parser import Parser
from .subject import (
    check_fit,
    check_inbox_prefix,
    check_literal,
    check_publish,
    check_queue_group,
    check_reply,
    check_subscribe,
    decode,
    join,
    matches,
    overlaps,
    published,
)

__all__ = [
    "LARGE",
    "MAX_UNASKED",
    "NO_RESPONDERS",
    "Err",
    "Event",
    "Frame",
    "HeaderValues",
    "Headers",
    "Info",
    "LargeFrame",
    "Msg",
    "Ok",
    "Parser",
    "Payload",
    "Ping",
    "Pong",
    "Responder",
    "ServerInfo",
    "Sink",
    "check_fit",
    "check_inbox_prefix",
    "check_literal",
    "check_publish",
    "check_queue_group",
    "check_reply",
    "check_subscribe",
    "decode",
    "encode_headers",
    "frames",
    "join",
    "matches",
    "overlaps",
    "payload_bytes",
    "published",
]

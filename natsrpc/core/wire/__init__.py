"""The NATS protocol as pure code: no I/O, clock, randomness or logging."""

from .events import Err, Event, Info, Msg, Ok, Payload, Ping, Pong, Responder, payload_bytes
from .headers import Headers, HeaderValues, encode_headers
from .info import ServerInfo
from .parser import Parser

__all__ = [
    "Err",
    "Event",
    "HeaderValues",
    "Headers",
    "Info",
    "Msg",
    "Ok",
    "Parser",
    "Payload",
    "Ping",
    "Pong",
    "Responder",
    "ServerInfo",
    "encode_headers",
    "payload_bytes",
]

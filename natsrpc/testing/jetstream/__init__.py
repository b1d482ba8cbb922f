"""A JetStream in memory, behind the in-memory broker: streams, consumers, acks, schedules.

It does what nats-server does, as far as it goes: the live tests of `natsrpc.jetstream` run against
it as well. What it does not have is answered by an error that says so. Time is that of the event
loop, which `natsrpc.testing.Clock` moves.

From the bottom: `moments`, `headers`, `refusals`; the messages of a stream (`messages`), what a
publish asks (`expectations`, `schedules`) and the `stream`; `pulls`, the `consumer` and its `acks`;
the calls of the `api`, and the `server` that has it all.
"""

from .configs import LEVEL, VERSION
from .consumer import Consumer
from .server import JetStreamServer
from .stored import StoredMessage, StoredStream
from .wire import Wire

__all__ = [
    "LEVEL",
    "VERSION",
    "Consumer",
    "JetStreamServer",
    "StoredMessage",
    "StoredStream",
    "Wire",
]

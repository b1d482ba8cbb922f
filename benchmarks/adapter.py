"""The interface of a peer's adapter, which a worker process loads and the driver commands.

Every method but `connect` and `close` is optional. A scenario that needs a missing one is reported
as not offered by this peer.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[], Awaitable[object]]
"""One operation, awaited until it is over."""

Seen = Callable[[bytes], None]
"""Called with each payload that was delivered."""

PEERS = {
    "natsrpc": "natsrpc",
    "nats-py": "nats_py",
    "natsio": "natsio",
    "nats-core": "nats_core",
    "natsrpy": "natsrpy",
    "nats-jetstream": "nats_jetstream",
    "bare core": "bare_core",
    "faststream": "faststream",
    "grpc.aio": "grpc_aio",
    "nats.go": "nats_go",
}
"""Name as shown -> module in `benchmarks.peers`."""


# The methods of an adapter. It is made in the worker process, and uses its library as users of that
# library would. Every one but the first two is optional:
#
#   async connect(url)                        connect to the nats-server, if the peer uses one
#   async close()                             close every connection
#   async serve_echo(subject)                 answer each request with its payload
#   async serve_typed(subject)                answer an `Order` with its `Receipt`
#   async serve_stream(subject)               answer with `ITEMS` receipts, one by one
#   async serve_silence(subject)              take requests, answer none
#   echo(subject, data) -> Call               one raw request and its reply
#   typed(subject) -> Call                    one typed call
#   stream(subject) -> Call                   one stream, read to its end
#   publish(subject, data) -> Call            one message out
#   async flush()                             wait until the server has all that was published
#   async subscribe_callback(subject, seen)   deliver to a callback
#   async subscribe_iterator(subject, seen)   deliver to `async for`
#   async subscribe_typed(subject, seen)      deliver each body as an `Order` to a handler
#
# For JetStream, `count` times each, with what `benchmarks.stores` has made:
#
#   async publish_acked(count, data)          publish, each after the ack of the one before
#   async publish_pipelined(count, data)      publish by its pipeline, and wait for all acks
#   async fetch_acked(count, data)            take messages in batches of 100, ack each
#   async consume_acked(count, data)          take them as they come, 500 ahead, ack each
#   async key_put(count, data)                set a key
#   async key_get(count, data)                read a key
#   async object_put(count, data)             write an object
#   async object_get(count, data)             read the object that is there


def load(name: str) -> Any:
    """Make the adapter of a peer.

    Raises:
        ImportError: the peer is not installed.
    """
    return importlib.import_module(f"benchmarks.peers.{PEERS[name]}").Peer()

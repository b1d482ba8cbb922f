"""JetStream: streams, consumers, key-value buckets and object stores, on `natsrpc.core` alone."""

from natsrpc.errors import JetStreamError

from .api import ConsumerConfig, StreamConfig
from .context import JetStream

__all__ = ["ConsumerConfig", "JetStream", "JetStreamError", "StreamConfig"]

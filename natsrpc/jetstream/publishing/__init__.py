"""Publishing with the server's word that a message is stored."""

from .ack import PubAck
from .expectations import PublishOptions, ttl_of, with_options
from .pipeline import AGAIN_IF_LOST, AGAIN_IF_REFUSED, ONCE, Pipeline
from .publisher import Publisher
from .storing import Storing, nobody_stores

__all__ = [
    "AGAIN_IF_LOST",
    "AGAIN_IF_REFUSED",
    "ONCE",
    "Pipeline",
    "PubAck",
    "PublishOptions",
    "Publisher",
    "Storing",
    "nobody_stores",
    "ttl_of",
    "with_options",
]

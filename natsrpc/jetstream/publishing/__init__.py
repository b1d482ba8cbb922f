"""Publishing with the server's word that a message is stored."""

from .ack import PubAck
from .expectations import PublishOptions, ttl_of, with_options
from .pipeline import Pipeline
from .publisher import Publisher
from .storing import Storing

__all__ = [
    "Pipeline",
    "PubAck",
    "PublishOptions",
    "Publisher",
    "Storing",
    "ttl_of",
    "with_options",
]

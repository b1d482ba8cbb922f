"""Consuming: pulls, and what stands on them."""

from .consumer import Consumer
from .cursor import Cursor
from .feed import Feed
from .intake import Intake, Taker
from .making import delete, make, name_of, too_old, wire_config, with_filters
from .message import JsMsg, Origin
from .messages import Messages
from .ordered import OrderedConsumer, OrderedMessages
from .pump import Supply
from .reading import Reading
from .reply import Metadata, metadata_of, tokens_of

__all__ = [
    "Consumer",
    "Cursor",
    "Feed",
    "Intake",
    "JsMsg",
    "Messages",
    "Metadata",
    "OrderedConsumer",
    "OrderedMessages",
    "Origin",
    "Reading",
    "Supply",
    "Taker",
    "delete",
    "make",
    "metadata_of",
    "name_of",
    "tokens_of",
    "too_old",
    "wire_config",
    "with_filters",
]

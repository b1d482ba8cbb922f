"""Typed work that survives a crash: what services and clients do with JetStream streams."""

from natsrpc.errors import Reject, RetryLater
from natsrpc.rpc import Retry

# for the command line
from .applying import Applied as Applied
from .applying import apply as apply
from .applying import fixed_because as fixed_because
from .buckets import OnceBucket
from .delivery import Delivery
from .effects import Once, once

# for the room of calls and services, which loads them by name
from .enqueuing import Enqueuing as Enqueuing
from .letters import Letter, letters, read_letter, requeue
from .sql import SqlTable
from .streams import check_uncovered as check_uncovered
from .streams import declared as declared
from .streams import differences_of as differences_of
from .streams import merged as merged
from .streams import prepare as prepare
from .worker import Worker as Worker

__all__ = [
    "Delivery",
    "Letter",
    "Once",
    "OnceBucket",
    "Reject",
    "Retry",
    "RetryLater",
    "SqlTable",
    "letters",
    "once",
    "read_letter",
    "requeue",
]

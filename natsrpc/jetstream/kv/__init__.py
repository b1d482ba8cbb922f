"""Key-value buckets: each is a stream, with a subject for every key."""

from .bucket import KeyValue
from .buckets import Buckets
from .config import KeyValueConfig, KeyValueStatus
from .entry import Entry
from .watcher import KeyWatcher

__all__ = ["Buckets", "Entry", "KeyValue", "KeyValueConfig", "KeyValueStatus", "KeyWatcher"]

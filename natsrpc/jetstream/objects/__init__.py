"""Object stores: each is a stream, with the chunks of objects and a word on each object."""

from .config import ObjectStoreConfig, ObjectStoreStatus
from .info import ObjectInfo, ObjectLink
from .reader import ObjectReader
from .store import ObjectStore
from .stores import Stores
from .watcher import ObjectWatcher

__all__ = [
    "ObjectInfo",
    "ObjectLink",
    "ObjectReader",
    "ObjectStore",
    "ObjectStoreConfig",
    "ObjectStoreStatus",
    "ObjectWatcher",
    "Stores",
]

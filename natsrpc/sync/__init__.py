"""The blocking client: for scripts, Django, Flask, notebooks and threads."""

from .client import Client
from .connecting import connect
from .stream import Stream

__all__ = ["Client", "Stream", "connect"]

"""Typed work that survives a crash: what services and clients do with JetStream streams."""

# for the room of calls, which loads it by name
from .jobs import Jobs as Jobs

__all__: list[str] = []

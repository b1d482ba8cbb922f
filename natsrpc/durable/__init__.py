"""Typed work that survives a crash: what services and clients do with JetStream streams."""

__all__: list[str] = []

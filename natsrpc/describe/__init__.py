"""A contract as text for people and tools: JSON Schema and AsyncAPI. Nothing here talks to NATS."""

from .asyncapi import asyncapi
from .schemas import RAW, endpoint_schema, error_schema, schema

__all__ = ["RAW", "asyncapi", "endpoint_schema", "error_schema", "schema"]

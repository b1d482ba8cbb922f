"""What calls take by name, for type checkers.

The package imports this under `TYPE_CHECKING` alone: nothing makes these classes when it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any, TypedDict

from natsrpc import codecs
from natsrpc.errors import RpcError

from .policy import Policy


class Options(TypedDict, total=False):
    """What every way to call takes beside target, request and response type."""

    timeout: float | None
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None
    errors: tuple[type[RpcError], ...]


class CallOptions(Options, total=False):
    """What `call` takes besides."""

    policy: Policy | None


class OpeningOptions(Options, total=False):
    """What `stream` takes besides, but for its items."""

    idle_timeout: float | None
    policy: Policy | None


class StreamOptions(OpeningOptions, total=False):
    """What `stream` takes besides."""

    items: AsyncIterable[Any] | None


class GatherOptions(TypedDict, total=False):
    """What `gather` takes beside target, request and response type."""

    timeout: float
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None
    errors: tuple[type[RpcError], ...]
    stall: float | None
    max_responses: int | None

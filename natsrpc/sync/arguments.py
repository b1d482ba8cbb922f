"""The options of `stream`, for type checkers.

The package imports this under `TYPE_CHECKING` alone: nothing makes this class when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natsrpc.rpc import OpeningOptions

    class StreamOptions(OpeningOptions, total=False):
        """Options of `stream`."""

        items: Iterable[Any] | None

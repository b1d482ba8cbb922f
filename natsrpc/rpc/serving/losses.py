"""`Losses`: messages without a reply subject that an endpoint lost, counted and told.

Who sent them waits for no answer, so the service says it where it can: in its log and to the
`on_error` of its connection. The first loss is told at once, those of the next second together at
its end, so a flood of them costs two lines and not one for each. `Answers` makes and calls it.
"""

from __future__ import annotations

import asyncio
import logging

from natsrpc.core import Link
from natsrpc.errors import MessagesLostError, RpcError

from ..contract import EndpointContract

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

INTERVAL = 1.0
"""Seconds between two times that an endpoint tells its losses."""


class Losses:
    """What one endpoint lost since it was told last."""

    def __init__(self, link: Link, contract: EndpointContract) -> None:
        self._link = link
        self._contract = contract
        self._dropped = 0
        self._failed = 0
        self._last: RpcError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, error: RpcError, *, ran: bool) -> None:
        """Count a message that ended with `error`; `ran`: its handler was to run, or did."""
        if ran:
            self._failed += 1
        else:
            self._dropped += 1
        self._last = error
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        last, self._last = self._last, None
        if last is None:
            return
        contract = self._contract
        error = MessagesLostError(
            contract.subject,
            endpoint=contract.name,
            dropped=self._dropped,
            failed=self._failed,
            last=last,
        )
        self._dropped = self._failed = 0
        logger.warning("%s", error)
        self._timer = self._link.loop.call_later(INTERVAL, self._tell)
        self._link.report(error, None)

    def close(self) -> None:
        """Tell what is left: the endpoint takes no more messages."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

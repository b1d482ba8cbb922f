"""How long the reconnect loop waits after each pass over the pool that reached no server.

The source of randomness is passed in.

Ref: nats.go `ReconnectWait`, `ReconnectJitter`, `CustomReconnectDelay`.
"""

from __future__ import annotations

import random
from logging import Logger, getLogger

from ..options import Options

log: Logger = getLogger("natsrpc.core")


class Backoff:
    """Computes the waits of one connection. Called by the connector."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._options = options
        self._rng = rng

    def delay(self, passes: int, *, elapsed: float, tls: bool) -> float:
        """Seconds to wait after pass number `passes`, counted from 1, which took `elapsed`."""
        options = self._options
        if options.reconnect_delay_cb is not None:
            try:
                return max(0.0, float(options.reconnect_delay_cb(passes)))
            except Exception:
                log.exception("reconnect_delay_cb raised; using reconnect_wait")
        return max(options.reconnect_wait - elapsed, 0) + self.jitter(tls=tls)

    def jitter(self, *, tls: bool) -> float:
        """A random part of the configured jitter, in seconds."""
        options = self._options
        return self._rng.uniform(
            0, options.reconnect_jitter_tls if tls else options.reconnect_jitter
        )

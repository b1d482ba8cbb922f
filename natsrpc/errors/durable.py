"""What a worker raises to say what becomes of its message: `Reject` and `RetryLater`.

They are no failures, so they have no code and nobody is answered by them.
"""

from __future__ import annotations

from .root import ConfigError, NatsRpcError

_MOST_DELAY = 10 * 365 * 86400.0
"""As `natsrpc.Retry` has it. A server takes one beyond its 64 bits of nanoseconds for none."""


class Reject(NatsRpcError):  # noqa: N818  it is a word to the worker, not a failure
    """Raised in a worker: this message can never be handled. It goes to the worker's dead letters,
    with the reason, and is not delivered again.

    In a batch it is said of all messages; `Delivery.reject` says it of one.

    Args:
        reason: why, for people. It is stored with the dead letter.
    """

    def __init__(self, reason: str = "rejected") -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(NatsRpcError):  # noqa: N818  it is a word to the worker, not a failure
    """Raised in a worker: not now. The message is delivered again after `delay` seconds.

    It counts as an attempt, as each delivery does. In a batch it is said of all messages;
    `Delivery.retry` says it of one.

    Args:
        delay: seconds, up to ten years; 0 is at once.
        reason: why, for people: it is logged, and stored with the dead letter of one that had no
            attempt left.

    Raises:
        ConfigError: `delay` is no such number of seconds.
    """

    def __init__(self, delay: float = 0.0, reason: str = "") -> None:
        is_number = isinstance(delay, int | float) and not isinstance(delay, bool)
        if not is_number or not 0 <= delay <= _MOST_DELAY:
            raise ConfigError(f"RetryLater({delay!r}): expected 0 to {_MOST_DELAY:.0f} seconds")
        super().__init__(reason or f"asked to be tried again in {delay:g} s")
        self.delay = delay
        self.reason = reason

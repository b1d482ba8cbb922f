"""Whether a consumer that does not answer is gone, or only out of reach for a while."""

from __future__ import annotations

from natsrpc.errors import (
    ConsumerDeletedError,
    JetStreamError,
    NatsError,
)

from ..api import CONSUMER_GONE
from .pull import Target

LOOK_TIMEOUT = 2.0


async def why_gone(target: Target) -> JetStreamError | None:
    """The error that tells that a consumer is gone; None if it is there, or nobody can say."""
    call = f"CONSUMER.INFO.{target.stream}.{target.consumer}"
    try:
        await target.api.call(call, timeout=min(LOOK_TIMEOUT, target.api.timeout))
    except CONSUMER_GONE as error:
        return ConsumerDeletedError(
            f"consumer {target.name} is gone: {error.description}",
            code=error.code,
            err_code=error.err_code,
            description=error.description,
        )
    except NatsError:
        return None
    return None

"""What key-value buckets and object stores have in common: each is a stream of a certain name."""

from __future__ import annotations

from natsrpc.errors import BucketNotFoundError, JetStreamError

from ..api import StreamConfig, differing, write


def not_found(bucket: str, error: JetStreamError) -> BucketNotFoundError:
    """The error for a bucket whose stream is not there."""
    return BucketNotFoundError(
        f"there is no bucket {bucket!r}",
        code=error.code,
        err_code=error.err_code,
        description=error.description,
    )


def differences(asked: StreamConfig, there: StreamConfig) -> list[str]:
    """What of a stream is not as it was asked for: the field and both values."""
    has, wanted = write(there), write(asked)
    return [
        f"{name}={has.get(name)!r}, not {wanted[name]!r}" for name, *_ in differing(asked, there)
    ]

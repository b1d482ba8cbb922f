"""What key-value buckets and object stores have in common: each is a stream of a certain name."""

from __future__ import annotations

from typing import Any

from natsrpc.errors import BucketNotFoundError, JetStreamError

from ..api import StreamConfig, write


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
    has = write(there)
    return [
        f"{name}={has.get(name)!r}, not {value!r}"
        for name, value in write(asked).items()
        if not _is_same(value, has.get(name))
    ]


def _is_same(asked: Any, there: Any) -> bool:
    if isinstance(asked, dict) and isinstance(there, dict):  # the server adds facts of its own
        return all(_is_same(value, there.get(name)) for name, value in asked.items())
    return asked == there or (not asked and there in (None, -1, 0, "none", ""))

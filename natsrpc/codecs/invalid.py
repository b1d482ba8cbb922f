"""pydantic's `ValidationError` as `DecodeError`. The codecs call it when a value is refused.

The rule kept here: the text names paths and reasons, never a value that was received. The error is
sent back to callers and logged, and a value may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from natsrpc.errors import DecodeError

MAX_ERRORS = 50
"""Errors that are listed; the message counts the rest."""

MAX_ERRORS_READ = 1000
"""With more errors than this only their number is told: to list them would cost more than the
request is worth, and a peer could ask for that on purpose."""

MAX_PATH = 200
"""Characters of a path; a key in it is text that a peer chose."""


def decode_error(error: ValidationError, what: str) -> DecodeError:
    """Return the `DecodeError` that says why `what` was not decoded. Nothing is raised here."""
    count = error.error_count()
    if count > MAX_ERRORS_READ:
        reason = f"{count} values are invalid"
        return DecodeError(
            f"cannot decode {what}: {reason}", errors=[{"path": "", "reason": reason}]
        )
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid" and not found[0]["loc"]:
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return DecodeError(f"not JSON: {reason}", malformed=True)
    errors = [
        {
            "path": ".".join(str(part)[:MAX_PATH] for part in item["loc"])[:MAX_PATH],
            "reason": _reason(cast(Mapping[str, Any], item)),
        }
        for item in found[:MAX_ERRORS]
    ]
    more = "" if count == 1 else f" (and {count - 1} more)"
    return DecodeError(f"cannot decode {what}: {error_line(errors[0])}{more}", errors=errors)


def error_line(error: Mapping[str, str]) -> str:
    """Return one entry of `DecodeError.errors` as "path: reason"."""
    return f"{error['path']}: {error['reason']}" if error["path"] else error["reason"]


def _reason(item: Mapping[str, Any]) -> str:
    text = str(item["msg"])
    # these two carry the text of a user's validator, which may quote the value
    if item["type"] in ("value_error", "assertion_error") and quotes(text, item["input"]):
        return "Value was refused by its validator"
    return text


def quotes(text: str, value: Any, depth: int = 3) -> bool:
    """Whether a validator's own text quotes the value that it was given, or a part of it."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and any(quotes(text, item, depth - 1) for item in value)
    if value is None or isinstance(value, bool):
        return False
    return bool(spelling := str(value)) and spelling in text

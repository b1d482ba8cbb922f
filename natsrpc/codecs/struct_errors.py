"""msgspec's errors as `DecodeError`, by the rules of `invalid`: paths and reasons, and no values.

`structs` and `struct_fields` call it when a body is refused.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from natsrpc.errors import DecodeError

from .foreign import Format
from .invalid import MAX_PATH, error_line, quotes

FORMATS: dict[str, Any] = {"json": msgspec.json, "msgpack": msgspec.msgpack}
"""msgspec's module of each format."""

SPELLED: dict[str, str] = {"json": "JSON", "msgpack": "MessagePack"}
"""The formats' names, for messages."""


def empty_error(name: str) -> DecodeError:
    """Return the error of an empty payload."""
    return DecodeError(
        f"empty payload where {name} is expected",
        errors=[{"path": "", "reason": f"it is empty, and {name} is expected"}],
        malformed=True,
    )


_PLACE = re.compile(r"(?P<reason>.*) - at `(?:key(?: in)? )?\$(?P<path>.*)`", re.DOTALL)
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`")


def refusal(error: Exception, what: str, format_: Format, data: bytes) -> DecodeError:
    """Return the `DecodeError` of what msgspec raised."""
    if isinstance(error, msgspec.ValidationError):
        path, reason = told(error, format_, data)
    elif isinstance(error, msgspec.DecodeError | UnicodeDecodeError | RecursionError):
        return DecodeError(f"not {SPELLED[format_]}: {_malformed(error)}", malformed=True)
    else:  # raised by a `__post_init__`
        path, reason = "", _REFUSED
    line = {"path": path, "reason": reason}
    return DecodeError(f"cannot decode {what}: {error_line(line)}", errors=[line])


_REFUSED = "Value was refused by its validator"


def _malformed(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "a string is not UTF-8"
    text = str(error)
    return re.sub(r"^(JSON|MessagePack data) is malformed: ", "", text)


def told(error: Exception, format_: Format, data: bytes) -> tuple[str, str]:
    """Return the path and the reason in the text of a validation error, without a value."""
    text = str(error)
    found = _PLACE.fullmatch(text)
    path, reason = (found["path"], found["reason"]) if found else ("", text)
    path = re.sub(r"\[(.*?)\]", r".\1", path.replace("[...]", ".*")).lstrip(".")
    if error.__cause__ is not None:  # of a user's own code: it may quote the value
        if quotes(reason, FORMATS[format_].decode(data)):
            reason = _REFUSED
    elif field := _FIELD.fullmatch(reason):
        path = f"{path}.{field['name']}".lstrip(".")
        reason = "Field required" if field["what"] == "missing required" else "Unknown field"
    else:
        reason = re.sub(r"^(Invalid (?:enum )?value).*", r"\1", reason, flags=re.DOTALL)
    return path[:MAX_PATH], reason

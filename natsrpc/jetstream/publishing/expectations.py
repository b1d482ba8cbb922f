"""What a publish may ask of the stream: an id against duplicates, expectations, a time to live.

Each is a header. The server reads their names by case.
"""

from __future__ import annotations

from typing import TypedDict

from natsrpc.core import Headers, HeaderValues
from natsrpc.errors import ConfigError, ConfigTypeError

from ..api import to_ttl

MSG_ID = "Nats-Msg-Id"
TTL = "Nats-TTL"


class PublishOptions(TypedDict, total=False):
    """The options that a publish has beside subject, data, headers and timeout."""

    msg_id: str | None
    expected_stream: str | None
    expected_last_seq: int | None
    expected_last_subject_seq: int | None
    expected_last_msg_id: str | None
    ttl: float | None


def with_options(headers: HeaderValues | None, options: PublishOptions) -> Headers:
    """The headers of a publish: the user's, and those that the options stand for.

    Raises:
        ConfigError, ConfigTypeError: an option's value cannot be.
        BadHeaderError: `headers` cannot be sent.
    """
    result = Headers(headers)
    for option, header in (
        ("msg_id", MSG_ID),
        ("expected_stream", "Nats-Expected-Stream"),
        ("expected_last_msg_id", "Nats-Expected-Last-Msg-Id"),
    ):
        text = options.get(option)
        if text is not None:
            if not isinstance(text, str):
                raise ConfigTypeError(f"publish({option}=...) must be a str, not {text!r}")
            if not text.strip():
                raise ConfigError(f"publish({option}=...) must not be empty")
            result.set(header, text)
    for option, header in (
        ("expected_last_seq", "Nats-Expected-Last-Sequence"),
        ("expected_last_subject_seq", "Nats-Expected-Last-Subject-Sequence"),
    ):
        seq = options.get(option)
        if seq is not None:  # 0 means: none before
            if type(seq) is not int or seq < 0:
                raise ConfigTypeError(f"publish({option}=...) must be 0 or more, not {seq!r}")
            result.set(header, str(seq))
    ttl = options.get("ttl")
    if ttl is not None:
        result.set(TTL, ttl_of(ttl))
    return result


def ttl_of(ttl: float) -> str:
    """A time to live, for the header.

    Raises:
        ConfigError: it is below a second, which servers do not take.
    """
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not ttl >= 1:
        raise ConfigError(f"ttl must be at least 1 second (math.inf: never), not {ttl!r}")
    return to_ttl(ttl)

"""Streams brought to what services declare: for people who ask for it by `natsrpc streams`.

Services never change a stream by themselves. What the server cannot change is told beside what was
changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from natsrpc.errors import JetStreamError, JetStreamNotEnabledError, StreamDifference
from natsrpc.jetstream import JetStream, StreamConfig

from .streams import differences_of

Action = Literal["created", "changed", "unchanged", "refused"]

_FIXED = ("storage", "mirror", "first_seq", "allow_msg_counter", "persist_mode")
"""Fields that stay as they were made."""
_ONE_WAY = ("sealed", "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules")
"""Flags that can be set, and not taken away."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one stream: what was changed, and what was not, with the reason."""

    stream: str
    action: Action
    changed: tuple[StreamDifference, ...] = ()
    refused: tuple[tuple[StreamDifference, str], ...] = ()
    reason: str = field(default="")
    """Why the server made nothing of it."""

    @property
    def is_whole(self) -> bool:
        """Whether the stream is as it is declared now."""
        return not self.refused and self.action != "refused"


async def apply(js: JetStream, config: StreamConfig) -> Applied:
    """Make a stream, or change of it what differs and can be changed.

    Raises:
        JetStreamNotEnabledError: there is no JetStream.
        NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
    """
    found = await differences_of(js, config)
    try:
        if found is None:
            await js.create_stream(config)
            return Applied(config.name, "created")
        return await _change(js, config, found)
    except JetStreamNotEnabledError:
        raise
    except JetStreamError as error:
        fixed = tuple((each, why) for each in found or () if (why := fixed_because(each)))
        reason = error.description or str(error)
        return Applied(config.name, "refused", refused=fixed, reason=reason)


async def _change(js: JetStream, config: StreamConfig, found: list[StreamDifference]) -> Applied:
    refused = tuple((each, why) for each in found if (why := fixed_because(each)))
    changed = tuple(each for each in found if not fixed_because(each))
    if not changed:
        return Applied(config.name, "unchanged", refused=refused)
    known = {each.field for each in changed} & set(StreamConfig.__slots__)
    values: dict[str, Any] = {name: getattr(config, name) for name in known}
    extra = {each.field: each.declared for each in changed if each.field not in known}
    await js.update_stream(StreamConfig(name=config.name, **values, extra=extra))
    return Applied(config.name, "changed", changed=changed, refused=refused)


def fixed_because(difference: StreamDifference) -> str:
    """Why the server would not change a field; "" where it may."""
    name = difference.field
    if name in _FIXED:
        return "it stays as it was made"
    if name in _ONE_WAY and difference.found and not difference.declared:
        return "it cannot be taken away"
    if name == "retention" and "workqueue" in (difference.found, difference.declared):
        return "a work queue stays one, and nothing else becomes one"
    return ""

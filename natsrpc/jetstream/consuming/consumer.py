"""A consumer as users hold it: fetch, next and messages."""

from __future__ import annotations

from natsrpc.errors import ConfigError, NatsTimeoutError

from ..api import Api, ConsumerInfo, check_wait, check_whole, read
from .checks import asked_of_fetch, check_heartbeat, priority_of
from .fetch import Fetch
from .intake import Intake, Taker
from .message import JsMsg, Origin, handed_out
from .messages import Messages
from .pull import Target
from .pump import Supply


def supply_of(
    max_messages: int,
    max_bytes: int | None,
    expires: float,
    heartbeat: float,
    threshold: int | None,
) -> Supply:
    """How much a continuous reader keeps ready.

    Raises:
        ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.
    """
    most = check_whole("messages(max_messages=...)", max_messages, 1)
    if max_bytes is not None:
        most = check_whole("messages(max_bytes=...)", max_bytes, 1)
    check_wait("messages(expires=...)", expires)
    check_heartbeat("messages", heartbeat, expires)
    if threshold is None:
        threshold = most // 2
    elif check_whole("messages(threshold=...)", threshold) >= most:
        raise ConfigError(f"messages(threshold=...) must be 0 to {most - 1}, not {threshold!r}")
    return Supply(most, threshold, expires, heartbeat, max_bytes or 0)


class Consumer:
    """A pull consumer of a stream: made by `Stream.consumer`, `create_consumer` and the like."""

    def __init__(self, api: Api, stream: str, info: ConsumerInfo) -> None:
        self._api = api
        self._stream = stream
        self._origin = Origin(api.connection)
        self._takes_acks = info.config.ack_policy != "none"
        self._pins: dict[str, Target] = {}
        self._plain = Target(api, stream, info.name, takes_acks=self._takes_acks)
        self.cached_info: ConsumerInfo = info

    def __repr__(self) -> str:
        return f"<Consumer {self._plain.name}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._plain.consumer

    @property
    def stream_name(self) -> str:
        """The name of its stream."""
        return self._stream

    async def info(self) -> ConsumerInfo:
        """What the server tells of it now; kept as `cached_info`.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: it is gone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        answer = await self._api.call(f"CONSUMER.INFO.{self._stream}.{self.name}")
        self.cached_info = read(ConsumerInfo, answer)
        return self.cached_info

    async def fetch(
        self,
        batch: int,
        *,
        timeout: float = 5.0,
        max_bytes: int | None = None,
        no_wait: bool = False,
        heartbeat: float | None = None,
        group: str | None = None,
        min_pending: int | None = None,
        min_ack_pending: int | None = None,
        priority: int | None = None,
    ) -> list[JsMsg]:
        """Up to `batch` messages: returns when they are there, or with what came when the time is
        over, which may be nothing. Cancelling it gives back what came.

        Args:
            batch: how many messages at most.
            timeout: seconds to wait in all.
            max_bytes: how many bytes at most, as the server counts them.
            no_wait: take what is there now.
            heartbeat: seconds after which the server tells that it lives; None: 5 where more than
                10 are waited for.
            group: the priority group, where the consumer has any.
            min_pending: of an overflow group: only if so many messages wait.
            min_ack_pending: of an overflow group: only if so many messages are unacked.
            priority: of a prioritized group: 0 (first) to 9.

        Raises:
            ConsumerDeletedError: nothing came, and the consumer or its stream is gone.
            NoHeartbeatError: nothing came, no heartbeats either.
            JetStreamError, PermissionsError: the server will never serve such pulls.
            ConnectionClosedError: the connection is closed.
            ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.

        Ref: nats.go `Consumer.Fetch`, `FetchBytes`, `FetchNoWait`; ADR-42 for groups.
        """
        asked = asked_of_fetch(batch, timeout, max_bytes, no_wait, heartbeat)
        target = self._target("fetch", group, min_pending, min_ack_pending, priority)
        origin = self._origin
        return handed_out(await Fetch(target, asked, timeout).run(), origin)

    async def next(self, timeout: float = 5.0, *, group: str | None = None) -> JsMsg:
        """The next message.

        Raises:
            NatsTimeoutError: none came within `timeout` seconds.
            ConsumerDeletedError, NoHeartbeatError, JetStreamError, PermissionsError,
                ConnectionClosedError: as `fetch`.
        """
        msgs = await self.fetch(1, timeout=timeout, group=group)
        if not msgs:
            text = f"no message of consumer {self._plain.name} within {timeout:g} s"
            raise NatsTimeoutError(text)
        return msgs[0]

    def messages(
        self,
        *,
        max_messages: int = 500,
        max_bytes: int | None = None,
        expires: float = 30.0,
        heartbeat: float = 5.0,
        threshold: int | None = None,
        group: str | None = None,
        min_pending: int | None = None,
        min_ack_pending: int | None = None,
        priority: int | None = None,
    ) -> Messages:
        """The messages as they come: `async with consumer.messages() as messages`, then iterate.

        Reconnects and changes of the consumer's leader are survived. Leaving the block gives back
        what was not handed out; it waits for that, some seconds at most.

        Args:
            max_messages: how many are asked for and received, and not handed out yet, at most.
            max_bytes: the same in bytes; `max_messages` then has no meaning.
            expires: seconds that one pull waits.
            heartbeat: seconds after which the server tells that it lives; at most half of
                `expires`.
            threshold: ask for more when no more than so many are left; None: half.
            group, min_pending, min_ack_pending, priority: as for `fetch`.

        Raises:
            ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.

        Ref: nats.go `Consumer.Messages`, `Consumer.Consume`.
        """
        supply = supply_of(max_messages, max_bytes, expires, heartbeat, threshold)
        target = self._target("messages", group, min_pending, min_ack_pending, priority)
        return Messages(target, supply, self._origin)

    def intake(self, taker: Taker, room: int) -> Intake:
        """The messages as there is room for them, given to an object: for those who bound how many
        are handled at once. What there is no room for stays at the server.

        Args:
            taker: takes the messages, and knows how many it holds.
            room: how many it may hold.

        Raises:
            ConfigError, ConfigTypeError: `room` is no whole number of at least 1.

        Ref: nats.go `Consumer.Consume`.
        """
        return Intake(self._plain, self._origin, taker, check_whole("intake(room=...)", room, 1))

    def _target(
        self,
        call: str,
        group: str | None,
        min_pending: int | None,
        min_ack_pending: int | None,
        priority: int | None,
    ) -> Target:
        groups = tuple(self.cached_info.config.priority_groups or ())
        asked = priority_of(call, groups, group, min_pending, min_ack_pending, priority)
        if asked is None:
            return self._plain
        target = Target(
            self._api,
            self._stream,
            self.name,
            takes_acks=self._takes_acks,
            priority=asked,
        )
        if group is not None:  # the id goes on from fetch to fetch
            before = self._pins.get(group)
            target.pin = "" if before is None else before.pin
            self._pins[group] = target
        return target

"""An ordered consumer as users hold it: fetch, next and messages, in order, without acks.

All three move the same cursor. A fetch keeps its consumer for the next one; `messages` has one of
its own while its block lasts.
"""

from __future__ import annotations

import asyncio

from natsrpc.core import Msg, check_timeout
from natsrpc.errors import (
    ConsumerDeletedError,
    NatsTimeoutError,
    NoHeartbeatError,
)

from ..api import Api
from .checks import asked_of_fetch
from .consumer import supply_of
from .cursor import Cursor
from .feed import Feed
from .fetch import Fetch
from .gone import check_same_stream
from .making import delete, make_own
from .message import JsMsg, Origin, handed_out
from .pull import Asked, Target
from .pump import Supply
from .reading import Reading

_HEARTBEAT = 5.0


class OrderedMessages(Reading):
    """The messages of an ordered consumer, while its block lasts. Iterating may be cancelled and go
    on."""

    def __init__(self, feed: Feed, origin: Origin) -> None:
        super().__init__(feed, "ordered.messages()", "messages")
        self._origin = origin

    async def __anext__(self) -> JsMsg:
        """The next message.

        Raises:
            StreamNotFoundError: the stream is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        msg = await self._next()
        assert msg is not None  # it makes no marks
        msg.__class__ = JsMsg
        msg.sub = self._origin
        return msg  # type: ignore[return-value]  # it is one now


class OrderedConsumer:
    """Reads a stream in order, without gap or repeat, and needs no acks: made by
    `Stream.ordered_consumer`.

    Its consumer at the server is replaced by itself when it is lost. Use it from one task at a
    time.
    """

    def __init__(self, api: Api, stream: str, cursor: Cursor) -> None:
        self._api = api
        self._stream = stream
        self._cursor = cursor
        self._origin = Origin(api.connection)
        self._target: Target | None = None
        self._interrupted_at = 0.0

    async def open(self) -> None:
        """Make a consumer. `Stream.ordered_consumer` calls it for the first one."""
        await check_same_stream(self._api, self._stream, self._cursor)
        info = await make_own(self._api, self._stream, self._cursor.config())
        self._cursor.made(info)
        self._interrupted_at = self._api.link.interrupted_at
        self._target = Target(self._api, self._stream, info.name, takes_acks=False)

    async def close(self) -> None:
        """Delete its consumer at the server; a further fetch makes another. Without it, the
        consumer goes when it was not used for five minutes."""
        deleting = self._give_up()
        if deleting is not None:
            await asyncio.shield(deleting)

    def _give_up(self) -> asyncio.Task[None] | None:
        """Let its consumer be deleted in the background."""
        target, self._target = self._target, None
        if target is None:
            return None
        return self._api.spawn(delete(self._api, self._stream, target.consumer))

    async def fetch(
        self,
        batch: int,
        *,
        timeout: float = 5.0,
        max_bytes: int | None = None,
        no_wait: bool = False,
        heartbeat: float | None = None,
    ) -> list[JsMsg]:
        """Up to `batch` messages, whatever came when the time is over; as `Consumer.fetch`.

        Raises:
            StreamNotFoundError: the stream is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
            ConfigError, BadTimeoutError: an argument cannot be.
        """
        asked = asked_of_fetch(batch, timeout, max_bytes, no_wait, heartbeat)
        deadline = self._api.link.loop.time() + timeout
        taken: list[JsMsg] = []
        while (left := deadline - self._api.link.loop.time()) > 0:
            taken += await self._fetch_once(asked, asked.batch - len(taken), left)
            if self._target is not None or len(taken) >= batch:
                break  # nothing was void
        return taken

    async def _fetch_once(self, asked: Asked, batch: int, left: float) -> list[JsMsg]:
        if self._interrupted_at != self._api.link.interrupted_at:
            await self.close()  # what a lost session did not bring is a gap
        if self._target is None:
            await self.open()
        assert self._target is not None
        expires = 0.0 if asked.no_wait else left
        # An old server does not tell that the consumer is gone, and time is left to replace it.
        heartbeat = min(asked.heartbeat or _HEARTBEAT, expires / 8) if expires >= 0.8 else 0.0
        one = Asked(batch, expires, heartbeat, asked.max_bytes, asked.no_wait)
        try:
            msgs = await Fetch(self._target, one, left).run()
        except (ConsumerDeletedError, NoHeartbeatError):
            await self.close()
            return []
        except BaseException:
            self._give_up()  # what came is lost to this consumer
            raise
        return handed_out(await self._in_order(msgs), self._origin)

    async def _in_order(self, msgs: list[Msg]) -> list[Msg]:
        for index, msg in enumerate(msgs):
            if not self._cursor.take(msg):
                await self.close()
                return msgs[:index]
        return msgs

    async def next(self, timeout: float = 5.0) -> JsMsg:
        """The next message.

        Raises:
            NatsTimeoutError: none came within `timeout` seconds.
            StreamNotFoundError, JetStreamError, PermissionsError, ConnectionClosedError: as
                `fetch`.
        """
        check_timeout(timeout)
        msgs = await self.fetch(1, timeout=timeout)
        if not msgs:
            raise NatsTimeoutError(f"no message of stream {self._stream!r} within {timeout:g} s")
        return msgs[0]

    def messages(
        self,
        *,
        max_messages: int = 500,
        max_bytes: int | None = None,
        expires: float = 30.0,
        heartbeat: float = 5.0,
        threshold: int | None = None,
    ) -> OrderedMessages:
        """The messages as they come: `async with ordered.messages() as messages`, then iterate.

        Raises:
            ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.
        """
        supply: Supply = supply_of(max_messages, max_bytes, expires, heartbeat, threshold)
        self._give_up()
        feed = Feed(self._api, self._stream, self._cursor, supply)
        return OrderedMessages(feed, self._origin)

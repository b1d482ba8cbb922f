"""The JetStream API: requests to `$JS.API.<call>`, with JSON both ways.

All other parts of the room have one `Api`. It knows the connection, the prefix of the API, the
default timeout, and what level the server has.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from logging import Logger, getLogger
from typing import Any, TypeVar

from natsrpc.core import Connection, Link, Msg, check_subscribe, check_timeout
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    JetStreamError,
    JetStreamNotEnabledError,
    NatsTimeoutError,
    PermissionsError,
)

from .answers import error_of, parse
from .asking import Asking
from .hub import Hub
from .levels import lacking
from .names import check_name

R = TypeVar("R")

log: Logger = getLogger("natsrpc.jetstream")

_LEVEL_TIMEOUT = 2.0
_ONCE = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE", "CONSUMER.DELETE")


class Api:
    """Asks one JetStream: that of the server's account, of a domain, or behind a prefix."""

    def __init__(
        self,
        connection: Connection,
        *,
        domain: str | None = None,
        api_prefix: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not isinstance(connection, Connection):
            raise ConfigTypeError(
                f"JetStream stands on a natsrpc.core.Connection, not on {connection!r}"
            )
        if domain and api_prefix:
            raise ConfigError("JetStream takes either domain= or api_prefix=, not both")
        if api_prefix is not None and not isinstance(api_prefix, str):
            raise ConfigTypeError(f"JetStream(api_prefix=...) must be a str, not {api_prefix!r}")
        check_timeout(timeout)
        self.connection = connection
        self.link: Link = connection.link
        self.timeout = timeout
        self.hub: Hub = Hub(connection.link)
        self.asking: Asking = Asking(connection, self.hub)
        self.prefix: str = "$JS.API"
        if domain:
            self.prefix = f"$JS.{check_name('domain', domain)}.API"
        elif api_prefix:
            self.prefix = api_prefix.rstrip(".")
        self.is_foreign: bool = self.prefix != "$JS.API"
        self._level: int | None = None
        self._asked_at = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    def subject(self, call: str) -> str:
        """The subject of a call, such as `STREAM.INFO.ORDERS`."""
        return f"{self.prefix}.{call}"

    async def ask(self, call: str, data: bytes = b"", *, timeout: float | None = None) -> Msg:
        """Ask, and return the answer as it is. After a reconnect it is asked again, unless it takes
        something away.

        Raises:
            JetStreamNotEnabledError: nobody answers such calls: there is no JetStream.
            NatsTimeoutError: no answer came in time.
            PermissionsError, ConnectionClosedError: as `Connection.request`.
        """
        subject = f"{self.prefix}.{call}"
        # The subject of a new consumer may end with a filter that has wildcards.
        encoded = check_subscribe(subject)
        msg = await self.asking.ask(
            encoded,
            data,
            b"",
            self.timeout if timeout is None else timeout,
            repeats=not call.startswith(_ONCE),
        )
        if msg is None:
            raise JetStreamNotEnabledError(
                f"no JetStream answers on {subject!r}: it is not enabled on the server, or there "
                "is no such domain or prefix",
                code=503,
            )
        return msg

    async def call(
        self,
        call: str,
        request: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Ask, and return the answer's object.

        Raises:
            JetStreamError: the server answered an error, with its codes; or no JSON.
            JetStreamNotEnabledError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
                `ask`.
        """
        data = json.dumps(request).encode() if request is not None else b""
        msg = await self.ask(call, data, timeout=timeout)
        answer = parse(msg.data, msg.raw_subject)
        if "error" in answer:
            raise error_of(answer["error"], self.subject(call))
        return answer

    async def pages(
        self, call: str, key: str, request: Mapping[str, Any] | None = None
    ) -> AsyncIterator[list[Any]]:
        """Ask for a list, page by page.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as `call`.
        """
        offset = 0
        while True:
            answer = await self.call(call, {**(request or {}), "offset": offset})
            page = answer.get(key) or []
            self._tell_missing(call, answer)
            if page:
                yield page
            offset += len(page)
            if not page or offset >= answer.get("total", 0):
                return

    def _tell_missing(self, call: str, answer: Mapping[str, Any]) -> None:
        absent: Iterable[object] = [*(answer.get("missing") or ()), *(answer.get("offline") or ())]
        if absent:
            log.warning("%s: no word of %s", call, ", ".join(map(str, absent)))

    def spawn(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Do something that goes on where its caller does not. What it raises is for those who
        await the task."""
        task = self.link.loop.create_task(work, name="natsrpc jetstream")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it counts as seen

    # what the server can

    async def level(self) -> int | None:
        """The API level of the server; 0 before 2.11, None if it may not be asked."""
        # another session may be with another server
        if self._level is None or self._asked_at <= self.link.interrupted_at:
            asked_at = self.link.loop.time()
            try:
                info = await self.call("INFO", timeout=min(self.timeout, _LEVEL_TIMEOUT))
            except (JetStreamError, NatsTimeoutError, PermissionsError):
                return None
            api = info.get("api")
            level = api.get("level", 0) if isinstance(api, dict) else 0
            self._level = level if isinstance(level, int) else 0
            self._asked_at = asked_at
        return self._level

    async def require(self, level: int, feature: str) -> None:
        """Refuse a feature that the server is too old for.

        Raises:
            JetStreamError: naming the version that it needs.
        """
        has = await self.level()
        if has is not None and has < level:
            raise lacking(feature, level)

"""What a connection tells of itself: state, servers, counters, events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from natsrpc.errors import ConfigError, ConfigTypeError

from . import events as told
from .events import ConnectionEvent
from .link import Link
from .stats import Statistics, Status
from .subscriptions import Subscription
from .wire import ServerInfo


class Facts(Link):
    """The part of a `Connection` that only tells."""

    def __repr__(self) -> str:
        where = self._session.server.address if self._session and self.is_connected else "-"
        return f"<natsrpc.core.Connection {self.options.name!r} {self._status.name} {where}>"

    @property
    def status(self) -> Status:
        """The state of the connection."""
        return self._status

    @property
    def is_reconnecting(self) -> bool:
        """Whether a session is being looked for."""
        return self._status is Status.RECONNECTING

    @property
    def server_info(self) -> ServerInfo | None:
        """The latest INFO of the server connected to; None if not connected."""
        return self._session.info if self._session is not None else None

    @property
    def connected_server_id(self) -> str | None:
        """The id of the server connected to; None if not connected."""
        return self._session.info.server_id if self._session is not None else None

    @property
    def connected_url(self) -> str | None:
        """The server connected to, credentials masked; None if not connected."""
        return self._session.server.url if self._session is not None else None

    @property
    def servers(self) -> list[str]:
        """The addresses of all servers known, without credentials."""
        return self._supervisor.pool.addresses()

    @property
    def discovered_servers(self) -> list[str]:
        """The addresses of the servers that the cluster named."""
        return self._supervisor.pool.addresses(discovered=True)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The socket's own address and port; None if not connected."""
        return self._session.transport.address("sockname") if self._session else None

    @property
    def server_address(self) -> tuple[str, int] | None:
        """The server's address and port; None if not connected."""
        return self._session.transport.address("peername") if self._session else None

    @property
    def buffered(self) -> int:
        """Bytes published and not yet with the operating system, the reconnect buffer included."""
        unsent = self._session.transport.buffered if self._session is not None else 0
        return unsent + self._outbox.size

    @property
    def subscriptions(self) -> list[Subscription]:
        """The user's live subscriptions."""
        return [sub for sub in self._subs.values() if not sub.is_inbox]

    def stats(self) -> Statistics:
        """A copy of the counters."""
        msgs, size, wire_in, wire_out = self._counts()
        return Statistics(
            in_msgs=msgs,
            out_msgs=self._out_msgs,
            in_bytes=size,
            out_bytes=self._out_bytes,
            wire_bytes_in=wire_in,
            wire_bytes_out=wire_out,
            reconnects=self._reconnects,
            attempts=self._supervisor.attempts,
            unmatched_replies=self.mux.unmatched,
        )

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """What happens to the connection from now on, in order; ends when it is closed."""
        return self._callbacks.stream()

    def set_callback(self, name: str, callback: Callable[..., object] | None) -> None:
        """Replace (or with None remove) a callback, by its option's name, such as "on_error".

        Raises:
            ConfigError: there is no such callback.
            ConfigTypeError: it is not callable.
        """
        if name not in told.CALLBACK_NAMES:
            raise ConfigError(f"no callback {name!r}: expected {sorted(told.CALLBACK_NAMES)}")
        if callback is not None and not callable(callback):
            raise ConfigTypeError(f"{name} must be callable, not {callback!r}")
        self._callbacks.callbacks[name] = callback

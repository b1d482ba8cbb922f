"""`Client`: typed calls over one connection, and services served on it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

from natsrpc import codecs, core
from natsrpc.core import (
    Connection,
    ConnectOptions,
    Opening,
    Options,
    check_publish,
    encode_headers,
)
from natsrpc.errors import ConfigError

from .calling import Caller, Errors, make_proxy
from .serving import Server, Service
from .streams import MAX_BODY

T = TypeVar("T")


class ClientOptions(ConnectOptions, total=False):
    """The keyword arguments of `natsrpc.connect`."""

    codec: str | codecs.Codec
    """What requests are written in."""

    max_body: int
    """Bytes of a reply, or of an item of a stream, that may come in frames where a message cannot
    be so large; 0 takes none."""


class Client(Caller):
    """Typed calls over a connection, and services on it.

    A call cancelled by its caller leaves nothing behind, here or at the worker.
    """

    def bind(
        self,
        api: Callable[..., T],
        prefix: str = "",
        *,
        timeout: float | None = 5.0,
        errors: Errors = (),
    ) -> T:
        """A typed proxy: its methods are those of a Protocol or class, their names the subjects.

        Args:
            api: the Protocol or class.
            prefix: stands before the methods' names.
            timeout: seconds for each call through the proxy; those that stream have no limit.
            errors: as for `call`.

        Raises:
            ConfigError: a method's signature cannot be called remotely.
        """
        if not inspect.isclass(api):
            raise ConfigError(f"bind takes a Protocol or a class, not {api!r}")
        proxy: T = make_proxy(self, api, prefix, timeout, errors)
        return proxy

    def __init__(
        self,
        connection: Connection,
        *,
        codec: str | codecs.Codec = "json",
        max_body: int = MAX_BODY,
    ) -> None:
        super().__init__(connection, codec=codec, max_body=max_body)
        self._servers: list[Server] = []

    async def publish(
        self,
        subject: str,
        value: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
    ) -> None:
        """Send a value to a subject without asking for an answer.

        Waits only while the connection's output is congested.

        Raises:
            EncodeError: the value cannot be written.
            BadSubjectError, MaxPayloadError, ConnectionClosedError: as `Connection.publish`.
        """
        chosen = self.codec if codec is None else codecs.get(codec)
        data = chosen.bind(None if value is None else type(value)).encode(value)
        block = _publish_block(chosen.content_type)
        if headers:
            block = block[:-2] + encode_headers(headers)[len(b"NATS/1.0\r\n") :]
        if self.connection.congested:
            await self.connection.writable()
        self.connection.send(check_publish(subject), data, b"", block)

    def serve(self, *services: Service) -> Opening[Server]:
        """Serve services on this connection: await it, or enter it with `async with`.

        Once it is awaited or entered every request sent reaches a handler, and the services are
        visible to discovery. Leaving the block drains them.
        """

        async def start() -> Server:
            server = Server(self.connection, services)
            await server.start()
            self._servers.append(server)
            return server

        return Opening(start, "client.serve(...)")

    async def drain(self) -> None:
        """Stop serving after all that was delivered is answered, then close the connection."""
        await self.connection.drain()

    async def close(self) -> None:
        """Close the connection now: calls in flight fail, requests being served get 503."""
        servers, self._servers = self._servers, []
        for server in servers:
            await server.close()
        await self._attempts.stop()
        await self.connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.connection.drained()
        await self.close()

    def __repr__(self) -> str:
        return f"<Client codec={self.codec.name} connection={self.connection!r}>"


@functools.lru_cache(maxsize=64)
def _publish_block(content_type: str) -> bytes:
    return encode_headers({"Content-Type": content_type})


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    max_body: int = MAX_BODY,
    options: Options | None = None,
    **settings: Unpack[ConnectOptions],
) -> Opening[Client]:
    """Connect to NATS: await it, or enter it with `async with`, which closes on leaving.

    Args:
        servers: one or more URLs.
        codec: what requests are written in.
        max_body: bytes of a reply, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        options: ready-made settings of the connection, instead of keyword arguments.
        **settings: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached.
        AuthorizationError: the credentials were refused.
    """
    chosen = codecs.get(codec)

    async def make() -> Client:
        connection = await core.connect(servers, options=options, **settings)
        return Client(connection, codec=chosen, max_body=max_body)

    return Opening(make)

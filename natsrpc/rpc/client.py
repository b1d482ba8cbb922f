"""`Client`: typed calls over one connection, and services served on it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, TypedDict, TypeVar, Unpack, overload

from natsrpc import codecs, core
from natsrpc.core import Connection, Opening, check_publish, encode_headers
from natsrpc.errors import ConfigError

from . import registry
from .calls import BoundCall, Call
from .context import Context
from .contract import EndpointContract
from .deadline import scope
from .middleware import Middleware, Next, compose
from .proxy import make_proxy
from .server import Server, Serving
from .service import Service

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Middleware[Call])

_MAX_BOUND = 2048


class CallOptions(TypedDict, total=False):
    """What every way to call takes beside target, request and response type."""

    timeout: float | None
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None


class _Default:
    """Not given."""

    def __repr__(self) -> str:
        return "..."


NOTHING: Any = _Default()
"""The request, or the response type, was not given."""


class Client:
    """Typed calls over a connection, and services on it.

    A call cancelled by its caller leaves nothing behind, here or at the worker.
    """

    def __init__(self, connection: Connection, *, codec: str | codecs.Codec = "json") -> None:
        self.connection = connection
        self.codec = codecs.get(codec)
        self._bound: dict[Any, BoundCall] = {}
        self._request = connection.mux.request
        self._time = connection.loop.time
        self._middleware: list[Middleware[Call]] = []
        self._call: Next[Call] | None = None

    # -- calls -----------------------------------------------------------------------------------

    @overload
    async def call(
        self, target: str, request: Any, returns: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self, target: str, request: Any = ..., *, returns: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self, target: str, request: Any = ..., returns: Any = ..., **options: Unpack[CallOptions]
    ) -> Any: ...
    @overload
    async def call(
        self, target: Callable[[], Awaitable[T]], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self, target: Callable[[R], Awaitable[T]], request: R, **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[R, Any, ...], Awaitable[T]],
        request: R | Mapping[str, Any],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[Context, ...], Awaitable[T]],
        request: Any = ...,
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(self, target: Callable[[], T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(
        self, target: Callable[[R], T], request: R, **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[R, Any, ...], T],
        request: R | Mapping[str, Any],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(
        self,
        target: EndpointContract,
        request: Any = ...,
        returns: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    async def call(
        self,
        target: Any,
        request: Any = NOTHING,
        returns: Any = NOTHING,
        *,
        timeout: float | None = 5.0,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> Any:
        """Call a subject, or a handler, and wait for its answer.

        Inside a handler the call inherits that handler's deadline (see `no_deadline`). Cancelling
        the call cancels the handler at the worker.

        Args:
            target: a subject, or a registered handler (or an endpoint's contract), whose types
                are then known.
            request: the value to send; several body parameters are given as a mapping.
            returns: the type to read the response as; plain data if not given.
            timeout: seconds the answer may take; None for no limit but an inherited deadline.
            headers: more headers for the request.
            codec: another codec for this call.
            tokens: values for the named wildcards of a handler's subject.

        Raises:
            RpcError: the service answered with an error: the class its handler raised, where that
                is known here.
            NoRespondersError: nobody serves the subject.
            NatsTimeoutError: no answer came, not even that the deadline passed.
            EncodeError, DecodeError: the request cannot be written, the response not be read.
            ConnectionClosedError: the connection is closed.
        """
        if self._call is not None:
            call = Call(
                target,
                request,
                returns,
                timeout=timeout,
                headers=headers,
                codec=codec,
                tokens=tokens,
            )
            return await self._call(call)
        try:
            bound = self._bound.get((target, type(request), returns, codec))
        except TypeError:  # a type that cannot be hashed
            bound = self._bind(target, type(request), returns, codec)
        if bound is None or tokens is not None:
            bound = self._find(target, type(request), returns, codec, tokens)
        data = bound.encode(None if request is NOTHING else request)
        inherited = scope.get()
        if inherited is None:
            block, wait = bound.block(timeout)
        else:
            block, wait = bound.inherited(timeout, inherited, self._time())
        if headers:
            block = bound.with_headers(block, headers)
        msg = await self._request(bound.subject, data, block, wait, bound.abandoned)
        return bound.read(msg) if msg.raw_headers else bound.decode(msg.data)

    async def _perform(self, call: Call) -> Any:
        """The innermost of the middleware: the call itself."""
        args = type(call.request), call.returns, call.codec
        bound = self._find(call.target, *args, call.tokens)
        data = bound.encode(None if call.request is NOTHING else call.request)
        inherited = scope.get()
        if inherited is None:
            block, wait = bound.block(call.timeout)
        else:
            block, wait = bound.inherited(call.timeout, inherited, self._time())
        block = bound.with_headers(block, call.headers)
        msg = await self._request(bound.subject, data, block, wait, bound.abandoned)
        return bound.read(msg) if msg.raw_headers else bound.decode(msg.data)

    def _find(
        self, target: Any, kind: type, returns: Any, codec: Any, tokens: Mapping[str, str] | None
    ) -> BoundCall:
        """The bound call for these, made if there is none yet."""
        if tokens is not None:
            return self._bind(target, kind, returns, codec, tokens)
        key = (target, kind, returns, codec)
        try:
            bound = self._bound.get(key)
        except TypeError:
            return self._bind(target, kind, returns, codec)
        if bound is None:
            bound = self._bind(target, kind, returns, codec)
            if len(self._bound) >= _MAX_BOUND:
                self._bound.clear()
            self._bound[key] = bound
        return bound

    def _bind(
        self,
        target: Any,
        kind: type,
        returns: Any,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None = None,
    ) -> BoundCall:
        chosen = self.codec if codec is None else codecs.get(codec)
        if isinstance(target, str):
            request_type = None if kind in (_Default, type(None)) else kind
            subject = check_publish(fill(target, tokens) if tokens else target)
            returns = Any if returns is NOTHING else returns
            return BoundCall(self.connection, subject, request_type, returns, codec=chosen)
        if isinstance(target, EndpointContract):
            return self.bind_contract(target, returns, chosen, tokens)
        if not callable(target):
            raise ConfigError(f"cannot call {target!r}: expected a subject or a handler")
        found = registry.find(target)
        return self.bind_contract(found.contract, returns, chosen, tokens)

    def bind_contract(
        self,
        contract: EndpointContract,
        returns: Any,
        codec: codecs.Codec,
        tokens: Mapping[str, str] | None = None,
    ) -> BoundCall:
        """The bound call for an endpoint whose contract is known."""
        response_type = contract.response_type if returns is NOTHING else returns
        subject = check_publish(fill(contract.template, tokens or {}))
        return BoundCall(
            self.connection,
            subject,
            contract.request_type,
            response_type,
            codec=codec,
            errors=contract.errors,
        )

    def bind(self, api: Callable[..., T], prefix: str = "", *, timeout: float | None = 5.0) -> T:
        """A typed proxy: its methods are those of a Protocol or class, their names the subjects.

        Args:
            api: the Protocol or class.
            prefix: stands before the methods' names.
            timeout: for each call through the proxy.

        Raises:
            ConfigError: a method's signature cannot be called remotely.
        """
        if not inspect.isclass(api):
            raise ConfigError(f"bind takes a Protocol or a class, not {api!r}")
        proxy: T = make_proxy(self, api, prefix, timeout)
        return proxy

    def middleware(self, function: M) -> M:
        """Put `async def mw(call, call_next)` around all calls; the first is outermost."""
        self._middleware.append(function)
        self._call = compose(self._middleware, self._perform)
        return function

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

    # -- services --------------------------------------------------------------------------------

    def serve(self, *services: Service) -> Serving:
        """Serve services on this connection: await it, or enter it with `async with`.

        Once it is awaited or entered every request sent reaches a handler, and the services are
        visible to discovery. Leaving the block drains them.
        """

        async def start() -> Server:
            server = Server(self.connection, services)
            await server.start()
            return server

        return Serving(start)

    # -- life ------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Stop serving after all that was delivered is answered, then close the connection."""
        await self.connection.drain()

    async def close(self) -> None:
        """Close the connection now; calls in flight fail."""
        await self.connection.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Client codec={self.codec.name} connection={self.connection!r}>"


def fill(template: str, tokens: Mapping[str, str]) -> str:
    """A subject with values for its `{token}`s.

    Raises:
        ConfigError: a value is missing, too many, or not one token.
    """
    parts = template.split(".")
    left = dict(tokens)
    for index, part in enumerate(parts):
        if part.startswith("{") and part.endswith("}"):
            name = part[1:-1]
            if name not in left:
                raise ConfigError(f"subject {template!r} needs a value for token {name!r}")
            value = str(left.pop(name))
            if not value or "." in value:
                raise ConfigError(f"token {name!r} is {value!r}: expected one token of a subject")
            parts[index] = value
    if left:
        raise ConfigError(f"subject {template!r} has no token {next(iter(left))!r}")
    return ".".join(parts)


@functools.lru_cache(maxsize=64)
def _publish_block(content_type: str) -> bytes:
    return encode_headers({"Content-Type": content_type})


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    **options: Any,
) -> Opening[Client]:
    """Connect to NATS: await it, or enter it with `async with`, which closes on leaving.

    Args:
        servers: one or more URLs.
        codec: what requests are written in.
        options: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached.
        AuthorizationError: the credentials were refused.
    """
    chosen = codecs.get(codec)

    async def make() -> Client:
        return Client(await core.connect(servers, **options), codec=chosen)

    return Opening(make)

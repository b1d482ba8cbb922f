"""A connection seen through one codec: typed publish, subscribe, request, and queues on a subject.

There is no service here and no envelope: what is published is the encoded value, what a handler
gets is the decoded one. Several may share a connection. A handler's signature is read once, when it
is subscribed; whatever cannot be told apart there is refused there.

Ref: nats.go `EncodedConn`, `BindSendChan`, `BindRecvChan`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from natsrpc import codecs
from natsrpc.core import Connection, Headers, HeaderValues, Msg, Subscription, check_literal
from natsrpc.errors import ConfigError, ConfigTypeError, ConnectionClosedError, DecodeError

from .contract import from_wire, is_error
from .signature import MISSING, UNANNOTATED, Parameter, describe, is_async, parameters

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
Source: TypeAlias = Callable[[Msg], Any]


class Encoded:
    """A connection whose payloads are values.

    Args:
        connection: an open connection. It is shared: `drain` and `close` end it for all its users.
        codec: a codec's name, content type or object.

    Raises:
        ConfigTypeError: not a connection, or not a codec.
        ConnectionClosedError: the connection is closed.
        UnknownCodecError: no codec of that name.
    """

    END: Final = object()
    """Put into a queue given to `bind_send_queue`, it ends the publishing."""

    def __init__(self, connection: Connection, codec: str | codecs.Codec = "json") -> None:
        if not isinstance(connection, Connection):
            raise ConfigTypeError(f"expected a Connection, not {connection!r}")
        self.codec: codecs.Codec = codecs.get(codec)
        if connection.is_closed:
            raise ConnectionClosedError
        self.connection = connection
        self._encode = self.codec.bind(Any).encode

    @property
    def last_error(self) -> Exception | None:
        """The connection's last error."""
        return self.connection.last_error

    async def publish(
        self,
        subject: str,
        value: Any,
        *,
        reply: str | None = None,
        headers: HeaderValues | None = None,
    ) -> None:
        """Publish a value, encoded by its own type.

        Raises:
            EncodeError: it cannot be encoded; nothing was sent.
            BadSubjectError, MaxPayloadError, ConnectionClosedError: as `Connection.publish`.
        """
        await self.connection.publish(subject, self._encode(value), reply=reply, headers=headers)

    @overload
    async def request(
        self,
        subject: str,
        value: Any,
        returns: TypeForm[T],
        *,
        timeout: float | None = ...,
        headers: HeaderValues | None = ...,
    ) -> T: ...
    @overload
    async def request(
        self,
        subject: str,
        value: Any,
        *,
        timeout: float | None = ...,
        headers: HeaderValues | None = ...,
    ) -> Any: ...

    async def request(
        self,
        subject: str,
        value: Any,
        returns: Any = Any,
        *,
        timeout: float | None = 5.0,
        headers: HeaderValues | None = None,
    ) -> Any:
        """Publish a value and return the reply's, decoded as `returns`; `Msg` is the raw reply.

        Raises:
            EncodeError: the value cannot be encoded; nothing was sent.
            DecodeError: the reply is not a `returns`.
            RpcError: a service answered with an error.
            NoRespondersError, NatsTimeoutError, ConnectionClosedError: as `Connection.request`.
        """
        decode = None if returns is Msg else self.codec.bind(returns).decode
        msg = await self.connection.request(
            subject, self._encode(value), timeout=timeout, headers=headers
        )
        if decode is None:
            return msg
        if msg.raw_headers and is_error(msg.raw_headers):
            raise from_wire(msg)
        return decode(msg.data)

    async def subscribe(
        self,
        subject: str,
        handler: Callable[..., Any],
        queue_group: str = "",
        *,
        max_msgs: int | None = None,
    ) -> Subscription:
        """Call `handler` with each message's value.

        The handler takes one of

        - `(value: T)`: the payload, decoded; `Any`, or no annotation, gives the codec's own form;
        - `(subject: str, value: T)` and `(subject: str, reply: str, value: T)`, by position;
        - `(msg: Msg)` or `(subject: str, msg: Msg)`: the message as it came.

        Parameters named `subject`, `reply`, `headers` or `msg` may stand anywhere. Others that have
        a default keep it. An async handler runs for one message after the other; a plain function
        is called in place and must not wait. What it returns is ignored. A payload that does not
        decode is told to `on_error`, and the handler is not called.

        Raises:
            ConfigTypeError: not a function, or its signature is none of these; nothing was sent.
            BadSubjectError, ConnectionClosedError, ConnectionDrainingError: as
                `Connection.subscribe`.
        """
        call = self._callback(handler)
        return await self.connection.subscribe(
            subject, queue_group=queue_group, cb=call, max_msgs=max_msgs
        )

    def bind_send_queue(self, subject: str, queue: asyncio.Queue[Any]) -> asyncio.Task[None]:
        """Publish every value put into `queue`, until it is shut down or gives `Encoded.END`.

        Returns the task that does it; it is the caller's to await or cancel. A value that cannot be
        sent, also because the connection is closed, is told to `on_error` and ends it.

        Raises:
            ConfigTypeError: `queue` is not an `asyncio.Queue`.
            BadSubjectError: the subject cannot be published to.
        """
        _check_queue(queue)
        check_literal(subject)
        return asyncio.create_task(
            self._send_all(subject, queue), name=f"natsrpc send queue {subject}"
        )

    async def _send_all(self, subject: str, queue: asyncio.Queue[Any]) -> None:
        while True:
            try:
                value = await queue.get()
            except Exception as error:
                _check_shut_down(error)
                return
            try:
                if value is self.END:
                    return
                await self.publish(subject, value)
            except Exception as error:
                self.connection.link.report(error, None)
                return
            finally:
                queue.task_done()

    async def bind_recv_queue(
        self, subject: str, queue: asyncio.Queue[Any], type: Any = Any, queue_group: str = ""
    ) -> Subscription:
        """Put every message's value, decoded as `type`, into `queue`; `Msg` is the raw message.

        While the queue is full, messages wait in the subscription, up to its pending limits.
        Unsubscribing ends it, with the queue untouched. A queue that is shut down unsubscribes. A
        payload that does not decode is told to `on_error` and skipped.

        Raises:
            ConfigTypeError: `queue` is not an `asyncio.Queue`, or the codec cannot carry `type`.
            BadSubjectError, ConnectionClosedError, ConnectionDrainingError: as
                `Connection.subscribe`.
        """
        _check_queue(queue)
        decode = _itself if type is Msg else self._decoder(type)
        ended = self.connection.link.loop.create_future()

        async def deliver(msg: Msg) -> None:
            try:
                value = decode(msg)
            except DecodeError as error:
                self.connection.link.report(error, msg.sub)
                return
            try:
                await self._put(queue, value, ended)
            except Exception as error:
                _check_shut_down(error)
                self.connection.link.detach(msg.sub)

        sub = await self.connection.subscribe(subject, queue_group=queue_group, cb=deliver)
        sub.on_closed = lambda closed: None if closed.is_draining else _resolve(ended)
        return sub

    async def _put(
        self, queue: asyncio.Queue[Any], value: Any, ended: asyncio.Future[None]
    ) -> None:
        """Put a value, waiting for room, unless the subscription or the connection ends first."""
        if not queue.full():
            queue.put_nowait(value)
            return
        putting = asyncio.ensure_future(queue.put(value))
        closed = asyncio.ensure_future(self.connection.wait_closed())
        try:
            await asyncio.wait({putting, ended, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            putting.cancel()
            await asyncio.wait({putting, closed})
        if not putting.cancelled():
            putting.result()

    async def flush(self, timeout: float = 10.0) -> None:
        """Wait until the server has treated all that was sent, as `Connection.flush`."""
        await self.connection.flush(timeout)

    async def drain(self) -> None:
        """Finish what is pending, then close the shared connection, as `Connection.drain`."""
        await self.connection.drain()

    async def close(self) -> None:
        """Close the shared connection."""
        await self.connection.close()

    def _decoder(self, type_: Any) -> Source:
        decode = self.codec.bind(type_).decode
        return lambda msg: decode(msg.data)

    def _callback(self, handler: Callable[..., Any]) -> Callable[[Msg], Any]:
        """Turn a handler into a callback for messages."""
        plan = _plan(handler)
        sources = [(each, self._source(each, role)) for each, role in plan]
        first = [source for each, source in sources if each.positional_only]
        named = {each.name: source for each, source in sources if not each.positional_only}

        def read(msg: Msg) -> tuple[list[Any], dict[str, Any]] | None:
            try:
                return [source(msg) for source in first], {
                    name: source(msg) for name, source in named.items()
                }
            except DecodeError as error:
                link = self.connection.link
                before = link.last_error
                link.report(error, msg.sub)
                link.last_error = before
                return None

        async def call_async(msg: Msg) -> None:
            arguments = read(msg)
            if arguments is not None:
                await handler(*arguments[0], **arguments[1])

        def call(msg: Msg) -> Any:
            arguments = read(msg)
            return None if arguments is None else handler(*arguments[0], **arguments[1])

        return call_async if is_async(handler) else call

    def _source(self, parameter: Parameter, role: str) -> Source:
        if role == "value":
            return self._decoder(Any if parameter.type is UNANNOTATED else parameter.type)
        return _SOURCES[role]


def _itself(msg: Msg) -> Msg:
    return msg


_SOURCES: dict[str, Source] = {
    "msg": _itself,
    "subject": lambda msg: msg.subject,
    "reply": lambda msg: msg.reply,
    "headers": lambda msg: msg.headers,
}
_NAMED = {"msg": Msg, "subject": str, "reply": str, "headers": Headers}


def _plan(handler: Callable[..., Any]) -> list[tuple[Parameter, str]]:
    """Decide what each parameter gets: "msg", "subject", "reply", "headers" or "value"."""
    if not callable(handler):
        raise ConfigTypeError(f"the handler must be a function, not {handler!r}")
    name = describe(handler)
    try:
        found, _ = parameters(handler)
    except ConfigError as error:
        raise ConfigTypeError(str(error)) from error
    roles: dict[str, str] = {}
    others: list[Parameter] = []
    for each in found:
        role = _named_role(each, name)
        if role is not None:
            roles[each.name] = role
        elif each.default is MISSING:
            others.append(each)
    if len(set(roles.values())) != len(roles):
        raise ConfigTypeError(f"handler {name!r} takes the same thing twice: {_spell(found)}")
    roles.update(_by_position(found, others, roles, name))
    if not roles:
        raise ConfigTypeError(f"handler {name!r} takes no parameter: expected at least the value")
    return [(each, roles[each.name]) for each in found if each.name in roles]


def _named_role(parameter: Parameter, handler: str) -> str | None:
    if parameter.marker is not None:
        raise ConfigTypeError(
            f"parameter {parameter.name!r} of {handler!r} is marked "
            f"{type(parameter.marker).__name__}, which only handlers of a Service can be"
        )
    if parameter.type is Msg:
        return "msg"
    if parameter.type is Headers:
        return "headers"
    expected = _NAMED.get(parameter.name)
    return parameter.name if expected in (parameter.type, _if_unannotated(parameter)) else None


def _if_unannotated(parameter: Parameter) -> Any:
    return _NAMED.get(parameter.name, MISSING) if parameter.type is UNANNOTATED else MISSING


def _by_position(
    found: list[Parameter], others: list[Parameter], roles: dict[str, str], handler: str
) -> dict[str, str]:
    """Give the parameters without a name of ours their roles: the value is the last of them."""
    left = [role for role in ("subject", "reply") if role not in roles.values()]
    leading = others[:-1]
    given = {others[-1].name: "value"} if others else {}
    if others and roles.get(found[-1].name) == "msg" and _is_text(others[-1]):
        leading, given = others, {}
    if len(leading) > len(left):
        raise ConfigTypeError(
            f"handler {handler!r} takes {_spell(found)}: expected (value), (subject, value), "
            "(subject, reply, value) or (msg)"
        )
    for each, role in zip(leading, left, strict=False):
        if not _is_text(each):
            raise ConfigTypeError(
                f"parameter {each.name!r} of {handler!r} stands where the {role} is passed: "
                f"expected str, not {each.type!r}"
            )
        given[each.name] = role
    return given


def _is_text(parameter: Parameter) -> bool:
    return parameter.type is str or parameter.type is UNANNOTATED


def _spell(found: list[Parameter]) -> str:
    return "(" + ", ".join(each.name for each in found) + ")"


def _check_queue(queue: object) -> None:
    if not isinstance(queue, asyncio.Queue):
        raise ConfigTypeError(f"expected an asyncio.Queue, not {queue!r}")


def _check_shut_down(error: Exception) -> None:
    """Pass over the error of a queue that was shut down; raise any other."""
    if type(error).__name__ != "QueueShutDown":  # from Python 3.13
        raise error


def _resolve(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)

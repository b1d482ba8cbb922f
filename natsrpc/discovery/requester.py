"""The asking side: who is there, what do they serve, how are they doing.

Nobody knows how many instances will answer. The first may take `timeout` seconds; after that, it is
over when none has answered for `stall` seconds. An instance asked for by its id is one answer. Nor
does anybody know who answers: answers are taken up to a number and a size in all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from logging import Logger, getLogger
from typing import Any, TypedDict, TypeVar, Unpack

from natsrpc.core import Connection, Msg
from natsrpc.errors import ConfigError, NoRespondersError, RpcError
from natsrpc.rpc import from_wire, is_error

from .reader import ServiceIdentity, ServiceInfo, ServiceStats, read, read_object
from .responder import PREFIX

log: Logger = getLogger("natsrpc.discovery")

TIMEOUT = 2.0
STALL = 0.3

MAX_ANSWERS = 65_536
"""Answers to one question that are taken: more instances than that are asked for by name."""

MAX_BYTES = 256 * 1024 * 1024
"""Bytes of all these answers together."""

Identity = TypeVar("Identity", bound=ServiceIdentity)


class Asking(TypedDict, total=False):
    """Options of those that ask: how long to wait, in seconds, and where."""

    timeout: float
    stall: float
    prefix: str


async def ping(
    connection: Connection, name: str = "", id: str = "", **options: Unpack[Asking]
) -> list[ServiceIdentity]:
    """Return the instances that answer, in the order they did, with their round-trip times.

    At most 65 536 answers of 256 MiB in all are taken; the log says where there were more. Ten
    thousand instances answer within a second; where their answers are large (many endpoints), give
    `timeout` more than its two seconds.

    Args:
        connection: where to ask.
        name: only services of this name.
        id: only this instance of it.
        options: `timeout`, seconds in all; `stall`, seconds after the last answer; `prefix`, the
            first token of the subjects.

    Raises:
        ConfigError: an id without a name.
        BadSubjectError: the name or id cannot be part of a subject.
        NatsTimeoutError: there is no connection, or it was lost before an instance answered.
        PermissionsError: the server denied the request, or the subscription to its answers.
        ConnectionClosedError: the connection is closed.
    """
    return await _ask(connection, "PING", ServiceIdentity, name, id, **options)


async def info(
    connection: Connection, name: str = "", id: str = "", **options: Unpack[Asking]
) -> list[ServiceInfo]:
    """Return the instances with their endpoints. Arguments and errors are those of `ping`."""
    return await _ask(connection, "INFO", ServiceInfo, name, id, **options)


async def stats(
    connection: Connection, name: str = "", id: str = "", **options: Unpack[Asking]
) -> list[ServiceStats]:
    """Return the instances with their counters. Arguments and errors are those of `ping`."""
    return await _ask(connection, "STATS", ServiceStats, name, id, **options)


async def schema(
    connection: Connection,
    name: str,
    id: str = "",
    *,
    endpoint: str = "",
    timeout: float = TIMEOUT,
    prefix: str = PREFIX,
) -> dict[str, Any]:
    """Return what a natsrpc service tells of its endpoints' types; the first instance answers.

    Args:
        connection: where to ask.
        name: the service.
        id: one instance of it.
        endpoint: only endpoints of this name.
        timeout: seconds to wait.
        prefix: the first token of the subjects.

    Raises:
        NoRespondersError: no instance of that name tells its schema.
        NatsTimeoutError: none answered in time.
        RpcError: the service refused (413: ask for one endpoint), or its answer is not a schema.
        BadSubjectError, ConnectionClosedError: as `ping`.
    """
    subject = _subject("SCHEMA", name, id, prefix)
    msg = await connection.request(subject, endpoint.encode(), timeout=timeout)
    if is_error(msg.raw_headers):
        raise from_wire(msg)
    found = read_object(msg.data)
    if found is None:
        raise RpcError(f"what {subject!r} answered is not a schema")
    return found


async def schemas(
    connection: Connection,
    name: str,
    *,
    timeout: float = TIMEOUT,
    stall: float = STALL,
    prefix: str = PREFIX,
) -> list[dict[str, Any]]:
    """Return what every instance of a service tells of its endpoints' types.

    Instances that refuse, and answers that are no schema, are left out. Arguments are those of
    `schema`; `stall` is seconds after the last answer.

    Raises:
        NoRespondersError: no instance of that name tells its schema.
        BadSubjectError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as `ping`.
    """
    subject = _subject("SCHEMA", name, "", prefix)
    replies = connection.request_many(subject, timeout=timeout, stall=stall)
    answers = [read_object(msg.data) async for msg in _bounded(replies, subject)]
    return [each for each in answers if each is not None]


def _subject(verb: str, name: str, id_: str, prefix: str) -> str:
    if id_ and not name:
        raise ConfigError(f"an instance is asked for by name and id: id is {id_!r} without a name")
    return ".".join(filter(None, (prefix, verb, name, id_)))


async def _bounded(replies: AsyncIterator[Msg], subject: str) -> AsyncIterator[Msg]:
    """The replies, up to what one question may bring into memory."""
    count = size = 0
    async for msg in replies:
        count, size = count + 1, size + len(msg.data)
        if count > MAX_ANSWERS or size > MAX_BYTES:
            text = "took %d answers to %r and no more: ask for one name, or one instance"
            log.warning(text, count - 1, subject)
            return
        yield msg


async def _ask(
    connection: Connection,
    verb: str,
    kind: type[Identity],
    name: str,
    id_: str,
    *,
    timeout: float = TIMEOUT,
    stall: float = STALL,
    prefix: str = PREFIX,
) -> list[Identity]:
    subject = _subject(verb, name, id_, prefix)
    found: dict[tuple[str, str], Identity] = {}
    asked = connection.link.loop.time()
    replies = connection.request_many(
        subject, timeout=timeout, stall=stall, max_msgs=1 if id_ else None
    )
    try:
        async for msg in _bounded(replies, subject):
            each = read(msg, kind, connection.link.loop.time() - asked)
            if each is not None:
                found.setdefault((each.name, each.id), each)
    except NoRespondersError:
        pass
    return list(found.values())

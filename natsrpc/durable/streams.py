"""The streams that services declare: made or checked before anything of the services starts.

All of them are looked at first, and nothing is made if one differs. A stream that is there is never
changed: it may belong to others, and what it holds would be lost. A stream that stores the subject
of a handler is refused, also one that nobody declares: its acknowledgement comes to the caller
before the service's answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from natsrpc.core import Connection, overlaps
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    NatsRpcError,
    PermissionsError,
    StreamDifference,
    StreamDiffersError,
    StreamNameInUseError,
    StreamNotFoundError,
)
from natsrpc.jetstream import JetStream, StreamConfig, differing
from natsrpc.rpc import EndpointContract, ServiceContract

logger: logging.Logger = logging.getLogger("natsrpc.durable")

AT_ONCE = 16
"""Questions to the server that are under way at once."""

_BELOW = "_NATSRPC.>"
"""What is sent below the subject of a handler: large requests, and cancels."""


class Declaring(Protocol):
    """A service, as its `Definition` tells it."""

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> ServiceContract: ...

    @property
    def streams(self) -> tuple[StreamConfig, ...]: ...


class Declared(NamedTuple):
    """A stream, and the first service that declares it."""

    service: str
    config: StreamConfig


def declared(service: str, streams: Any) -> tuple[StreamConfig, ...]:
    """The streams that a service declares.

    Raises:
        ConfigError: one has no name, or two have the same.
        ConfigTypeError: it is no sequence of `StreamConfig`.
    """
    where = f"streams of service {service!r}"
    if isinstance(streams, StreamConfig) or not isinstance(streams, Sequence):
        raise ConfigTypeError(f"{where}: expected a list of StreamConfig, not {streams!r}")
    for each in streams:
        if not isinstance(each, StreamConfig):
            raise ConfigTypeError(f"{where}: expected a StreamConfig, not {each!r}")
        if not each.name:
            raise ConfigError(f"{where}: a stream has no name: {each!r}")
    found = [each.name for each in streams]
    for name in found:
        if found.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} is declared twice")
    return tuple(streams)


def merged(services: Iterable[Declaring]) -> dict[str, Declared]:
    """The streams of several services, which may declare the same one alike.

    Raises:
        ConfigError: they declare it differently; each field is named, with both values.
    """
    found: dict[str, Declared] = {}
    for service in services:
        for config in service.streams:
            first = found.setdefault(config.name, Declared(service.name, config))
            differences = _between(first.config, config)
            if differences:
                raise ConfigError(
                    f"stream {config.name!r} is declared by service {first.service!r} and, "
                    f"differently, by service {service.name!r}: {'; '.join(differences)}"
                )
    return found


def _between(first: StreamConfig, second: StreamConfig) -> list[str]:
    there = {each.name: (each.asked, each.found) for each in differing(first, second)}
    there |= {each.name: (each.found, each.asked) for each in differing(second, first)}
    return [f"{name} is {one!r}, and {other!r}" for name, (one, other) in there.items()]


async def prepare(connection: Connection, services: Sequence[Declaring]) -> None:
    """Make the streams that are declared and not there, once all is found to be in order.

    Raises:
        StreamDiffersError: a stream is not as it is declared; nothing was made.
        ConfigError: services declare a stream differently, or one stores the subject of a handler;
            nothing was made.
        JetStreamNotEnabledError: there is no JetStream.
        JetStreamError: the server refused to make one, or is too old for a field.
        NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
    """
    js = JetStream(connection)
    wanted = merged(services)
    for service in services:
        for endpoint in service.contract.endpoints:
            streams = [each.config for each in wanted.values()]
            check_uncovered(service.name, endpoint, streams)
    missing = await _missing(js, wanted)
    await _check_stored(js, services)
    for each in missing:
        await _make(js, each)


async def _missing(js: JetStream, wanted: dict[str, Declared]) -> list[Declared]:
    """The streams that are not there, after checking those that are."""
    missing: list[Declared] = []
    differences: list[StreamDifference] = []
    for each in wanted.values():
        found = await differences_of(js, each.config)
        if found is None:
            missing.append(each)
        else:
            differences += found
    if differences:
        raise _differ(wanted, differences)
    return missing


async def differences_of(js: JetStream, config: StreamConfig) -> list[StreamDifference] | None:
    """What of a stream is not as it is declared; None where there is no such stream."""
    try:
        stream = await js.stream(config.name)
    except StreamNotFoundError:
        return None
    found = differing(config, stream.cached_info.config)
    return [StreamDifference(config.name, name, asked, there) for name, asked, there in found]


def _differ(wanted: dict[str, Declared], differences: list[StreamDifference]) -> StreamDiffersError:
    parts = []
    for name in dict.fromkeys(each.stream for each in differences):
        told = "; ".join(str(each) for each in differences if each.stream == name)
        parts.append(f"stream {name!r} of service {wanted[name].service!r}: {told}")
    text = (
        f"{'. '.join(parts)}. Nothing was started: change the declaration, or the stream (`natsrpc "
        "streams apply`)"
    )
    return StreamDiffersError(text, differences=differences)


async def _make(js: JetStream, wanted: Declared) -> None:
    try:
        await js.create_stream(wanted.config)
        logger.info("service %s: made stream %s", wanted.service, wanted.config.name)
    except StreamNameInUseError:  # another process was quicker
        found = await differences_of(js, wanted.config)
        if found:
            raise _differ({wanted.config.name: wanted}, found) from None


# streams that store what is served


def check_uncovered(
    service: str, endpoint: EndpointContract, streams: Iterable[StreamConfig]
) -> None:
    """Refuse a handler whose subject one of the streams stores.

    Raises:
        ConfigError: naming the handler and the stream.
    """
    for subject in _called(endpoint):
        for config in streams:
            own = config.subjects or ([] if config.mirror else [config.name])
            stored = next((each for each in own if overlaps(each, subject)), None)
            if stored is not None and not config.no_ack:
                raise _covered(service, endpoint, config.name, stored)


async def _check_stored(js: JetStream, services: Sequence[Declaring]) -> None:
    """Refuse handlers whose subjects are stored on the server, by whatever stream."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def check(service: str, endpoint: EndpointContract, subject: str) -> None:
        async with slots:
            async for info in js.streams(subject):
                check_uncovered(service, endpoint, [info.config])

    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for service in services:
                for endpoint in service.contract.endpoints:
                    for subject in _called(endpoint):
                        tasks.create_task(check(service.name, endpoint, subject))
    except* PermissionsError as denied:
        text = denied.exceptions[0]
        logger.warning("it is not known which streams store subjects of handlers: %s", text)
    except* NatsRpcError as group:
        failure = group.exceptions[0]
    if failure is not None:
        raise failure


def _called(endpoint: EndpointContract) -> list[str]:
    """The subjects that requests to an endpoint come on; none for one that nobody calls."""
    if endpoint.kind not in ("unary", "response_stream", "request_stream", "both_stream"):
        return []
    below = [] if endpoint.subject.endswith(">") else [f"{endpoint.subject}.{_BELOW}"]
    return [endpoint.subject, *below]


def _covered(service: str, endpoint: EndpointContract, stream: str, stored: str) -> ConfigError:
    return ConfigError(
        f"handler {endpoint.name!r} of service {service!r} serves {endpoint.subject!r}, and stream "
        f"{stream!r} stores {stored!r}: its acknowledgement would be the caller's answer; requests "
        "and what streams store need subjects of their own"
    )

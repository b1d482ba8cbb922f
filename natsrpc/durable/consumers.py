"""The consumer of a worker, made or brought up to date when its service starts.

Whatever the declaration says and the server can change is changed, and logged. What it cannot
change is an error that names the field, both values and the way out; nothing is started then.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, NamedTuple, NoReturn

from natsrpc.core import overlaps
from natsrpc.errors import (
    ConfigError,
    ConsumerNameInUseError,
    ConsumerNotFoundError,
    JetStreamError,
    NatsTimeoutError,
    PermissionsError,
    StreamNotFoundError,
)
from natsrpc.jetstream import Consumer, ConsumerConfig, JetStream, Stream
from natsrpc.rpc import EndpointContract

from .schedules import check_apart

logger: logging.Logger = logging.getLogger("natsrpc.durable")

_OF_SERVICE = " of service "
"""Tells in the description of a consumer whose it is."""

_UNLIMITED = -1
_SHORT = 1.0
_TRIES = 3


class Ready(NamedTuple):
    """The consumer of a worker. `is_lasting` tells whether its stream outlives a server,
    `is_alone` whether that has one replica."""

    consumer: Consumer
    is_lasting: bool
    is_alone: bool


async def ready(js: JetStream, service: str, contract: EndpointContract) -> Ready:
    """The consumer of a worker, as it is declared.

    Raises:
        StreamNotFoundError: there is no such stream, or none stores the dead letters.
        ConfigError: the stream never has such messages, the consumer is another service's, or it
            cannot become what is declared.
        JetStreamNotEnabledError, JetStreamError, NatsTimeoutError, PermissionsError,
            ConnectionClosedError: the server refused, or did not answer.
    """
    work = contract.work
    assert work is not None  # it is a worker
    where = f"worker {contract.name!r} of service {service!r}"
    try:
        stream = await js.stream(work.stream)
    except StreamNotFoundError as error:
        raise StreamNotFoundError(
            f"{where} reads stream {work.stream!r}, which does not exist: have the service make "
            f"it, as in Service(..., streams=[StreamConfig(name={work.stream!r}, "
            f"subjects=[{contract.subject!r}])])",
            code=error.code,
            err_code=error.err_code,
            description=error.description,
        ) from None
    _check_subjects(where, stream, contract)
    check_apart(where, stream.cached_info.config, contract.subject)
    if work.dead_letter:
        await _check_dead_letters(js, where, work.dead_letter)
    wanted = declared(service, contract)
    config = stream.cached_info.config
    is_alone = (config.num_replicas or 1) == 1
    is_lasting = config.storage != "memory" or not is_alone
    return Ready(await _made(where, stream, wanted), is_lasting, is_alone)


async def _made(where: str, stream: Stream, wanted: ConsumerConfig) -> Consumer:
    name = wanted.durable_name or ""
    for _ in range(_TRIES):
        try:
            found = await stream.consumer(name)
        except ConsumerNotFoundError:
            try:
                return await stream.create_consumer(wanted)
            except ConsumerNameInUseError:  # another process was quicker
                continue
        return await _brought_up_to_date(where, stream, found, wanted)
    raise JetStreamError(f"consumer {name!r} of {where} comes and goes: who deletes it?")


def declared(service: str, contract: EndpointContract) -> ConsumerConfig:
    """The configuration that a worker's consumer is to have."""
    work = contract.work
    assert work is not None  # it is a worker
    return ConsumerConfig(
        durable_name=work.durable,
        description=f"worker {contract.name}{_OF_SERVICE}{service}",
        ack_policy="explicit",
        ack_wait=work.ack_wait,
        filter_subject=contract.subject,
        # The worker gives up by itself, so that nothing is left in the stream that nobody has told.
        max_deliver=_UNLIMITED,
        # The slots of each process bound what is unacked.
        max_ack_pending=_UNLIMITED,
        headers_only=False,
    )


def _check_subjects(where: str, stream: Stream, contract: EndpointContract) -> None:
    """Refuse a subject that the stream never has. What a mirror or a source brings is not known."""
    config = stream.cached_info.config
    if config.mirror is not None or config.sources or config.subject_transform is not None:
        return
    subjects = tuple(config.subjects or ())
    if not any(overlaps(each, contract.subject) for each in subjects):
        raise ConfigError(
            f"{where} handles {contract.subject!r}, which stream {stream.name!r} never has: it has "
            f"{', '.join(subjects)}"
        )


async def _check_dead_letters(js: JetStream, where: str, subject: str) -> None:
    """Refuse a subject of dead letters that no stream stores."""
    try:
        names = [name async for name in js.stream_names(subject)]
    except (PermissionsError, NatsTimeoutError) as error:
        logger.warning("%s: nobody told which stream stores %r: %s", where, subject, error)
        return
    if not names:
        raise StreamNotFoundError(
            f"{where} has dead_letter={subject!r}, which no stream stores: have the service make "
            f"one, as in Service(..., streams=[StreamConfig(name='DEAD', subjects=[{subject!r}])])",
            code=404,
        )


async def _brought_up_to_date(
    where: str, stream: Stream, found: Consumer, wanted: ConsumerConfig
) -> Consumer:
    there = found.cached_info.config
    durable = wanted.durable_name
    if there.deliver_subject:
        _cannot(where, durable, "deliver_subject", there.deliver_subject, None)
    if there.ack_policy != "explicit":
        _cannot(where, durable, "ack_policy", there.ack_policy, "explicit")
    if there.inactive_threshold:
        text = "%s: consumer %r has inactive_threshold=%g, and goes when no process used it so long"
        logger.warning(text, where, durable, there.inactive_threshold)
    changes: dict[str, Any] = {}
    for field in ("ack_wait", "max_deliver", "max_ack_pending"):
        if getattr(there, field) != getattr(wanted, field):
            changes[field] = getattr(there, field)
    if there.filters != wanted.filters:
        _check_owner(where, stream, there, wanted)
        changes["filter_subject"] = ", ".join(there.filters) or None
    if there.headers_only:
        changes["headers_only"] = True
    if there.backoff:
        changes["backoff"] = list(there.backoff)
    if not changes:
        return found
    told = ", ".join(
        f"{field}: {old!r} -> {_new(wanted, field)!r}" for field, old in changes.items()
    )
    if there.backoff:  # its own would make waits that nobody declared
        wanted = dataclasses.replace(wanted, extra={"backoff": None})
    try:
        updated = await stream.update_consumer(wanted)
    except JetStreamError as error:
        raise ConfigError(
            f"{where}: consumer {durable!r} of stream {stream.name!r} is not what is declared "
            f"({told}), and the server does not change it: {error}; name another `durable`, or "
            "delete the consumer"
        ) from error
    logger.info("%s: consumer %r of stream %r is updated: %s", where, durable, stream.name, told)
    return updated


def _check_owner(where: str, stream: Stream, there: ConsumerConfig, wanted: ConsumerConfig) -> None:
    """Refuse to take the consumer of another service: its workers would be given our messages, and
    nobody theirs."""
    _, of, owner = (there.description or "").rpartition(_OF_SERVICE)
    if of and owner != (wanted.description or "").rpartition(_OF_SERVICE)[2]:
        raise ConfigError(
            f"{where}: consumer {wanted.durable_name!r} of stream {stream.name!r} is that of "
            f"{there.description}, which handles {', '.join(there.filters) or 'all subjects'} by "
            "it: name another `durable`, or delete the consumer if that service is gone"
        )


def _new(wanted: ConsumerConfig, field: str) -> Any:
    return None if field == "backoff" else getattr(wanted, field)


def _cannot(where: str, name: str | None, field: str, has: Any, wants: Any) -> NoReturn:
    raise ConfigError(
        f"{where}: consumer {name!r} has {field}={has!r}, a worker needs {wants!r}, and the server "
        "does not change that: name another `durable`, or delete the consumer"
    )

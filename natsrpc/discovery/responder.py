"""The answering side: a running service on `$SRV`.

Every verb is answered on three subjects (all services, those of this name, this one instance), in
no queue group, so that each instance answers. Interest is known to every server of a cluster, so
one wildcard subscription takes all verbs of a subject: three, where each verb by itself would take
twelve. A verb that is not known is ignored, as by one who is not subscribed, and so is a request
without a reply subject.

Every service carries a `Discovery` while it runs; `natsrpc.rpc` loads this room when it starts the
first one. The types of endpoints are described by `natsrpc.describe`, unless `attach` named
something else.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from functools import partial
from logging import Logger, getLogger
from typing import Any, TypeAlias

from natsrpc.core import Connection, Msg, Subscription, Throttle, encode_headers
from natsrpc.errors import MaxPayloadError, NatsError
from natsrpc.rpc import RunningService, ServiceContract

from . import shapes

log: Logger = getLogger("natsrpc.discovery")

PREFIX = "$SRV"
PROBES_TIMEOUT = 0.5
"""Seconds that the probes of a service have for a STATS response."""

Describe: TypeAlias = Callable[[ServiceContract], list[dict[str, Any]]]
"""Describes the types of a service's endpoints, one entry each."""

_chosen: list[Describe] = []
"""The function that `attach` was given last; empty if none was."""


def attach(*, schema: Describe | None = None) -> None:
    """Choose the function that describes the types of all services started from now on.

    Services answer discovery without this. Safe to call again.

    Args:
        schema: describes a service's endpoints, for the SCHEMA responses; as before if not given.
    """
    if schema is not None:
        _chosen[:] = [schema]


def _describer() -> Describe:
    """The function that describes types; loaded when a service starts, not for a message."""
    if _chosen:
        return _chosen[0]
    found: Describe = importlib.import_module("natsrpc.describe").schema
    return found


def _publishing() -> Describe:
    """The function that describes the events that a service publishes; loaded likewise."""
    found: Describe = importlib.import_module("natsrpc.describe").published
    return found


def subjects(verb: str, name: str, id_: str, *, prefix: str = PREFIX) -> tuple[str, str, str]:
    """Return the three subjects on which one instance answers a verb."""
    return f"{prefix}.{verb}", f"{prefix}.{verb}.{name}", f"{prefix}.{verb}.{name}.{id_}"


class Discovery:
    """Answers discovery requests for one running service."""

    def __init__(
        self, connection: Connection, running: RunningService, *, prefix: str = PREFIX
    ) -> None:
        self._connection = connection
        self._running = running
        self._prefix = prefix
        self._cut = len(prefix.encode()) + 1
        self._describe = _describer()
        self._published = _publishing()
        self._described: tuple[ServiceContract, list[dict[str, Any]]] | None = None
        self._log = Throttle(log)
        self._answers: dict[bytes, Callable[[Msg], None]] = {
            b"PING": self._answer_ping,
            b"INFO": self._answer_info,
            b"STATS": self._answer_stats,
            b"SCHEMA": self._answer_schema,
        }
        self._subscriptions: list[Subscription] = []
        self._asked: list[Msg] = []
        self._probing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Subscribe. The server flushes afterwards, so that a started service is visible."""
        for subject in self._subjects("*"):
            subscription = self._running.subscribe_optional(subject, self._answer)
            self._subscriptions.append(subscription)

    async def drain(self) -> None:
        """Stop, once everything asked so far is answered."""
        draining = [sub.drain() for sub in self._subscriptions if sub.is_valid]
        self._subscriptions.clear()
        for found in await asyncio.gather(*draining, return_exceptions=True):
            if isinstance(found, BaseException) and not isinstance(found, NatsError):
                raise found
        if self._probing is not None:
            await asyncio.wait([self._probing])

    def _subjects(self, verb: str) -> tuple[str, str, str]:
        running = self._running
        return subjects(verb, running.contract.name, running.id, prefix=self._prefix)

    def _answer(self, msg: Msg) -> None:
        """Answer a verb that is known. The sink of all subscriptions."""
        answer = self._answers.get(msg.raw_subject[self._cut :].partition(b".")[0])
        if answer is not None and msg.raw_reply:
            answer(msg)

    def _answer_ping(self, msg: Msg) -> None:
        self._reply(msg, shapes.ping(self._running))

    def _answer_info(self, msg: Msg) -> None:
        self._reply(msg, shapes.info(self._running, schema_subject=self._subjects("SCHEMA")[2]))

    def _answer_schema(self, msg: Msg) -> None:
        """Describe all endpoints, or those named in the payload."""
        contract = self._running.contract
        if self._described is None or self._described[0] is not contract:
            self._described = contract, self._describe(contract)
        wanted = msg.data.decode(errors="replace")
        found = [each for each in self._described[1] if not wanted or each["name"] == wanted]
        publishes = [] if wanted else self._published(contract)
        self._reply(msg, shapes.schema(self._running, found, publishes))

    def _answer_stats(self, msg: Msg) -> None:
        if not self._running.definition.probes:
            self._reply(msg, self._stats({"status": "ok", "probes": {}}))
            return
        self._asked.append(msg)  # all that ask meanwhile share the answer
        if self._probing is None:
            self._probing = self._connection.link.loop.create_task(self._probe())

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(PROBES_TIMEOUT):
                health = await self._running.definition.health()
        except TimeoutError:
            reason = f"probes took longer than {PROBES_TIMEOUT} s"
            health = {"status": "unwell", "probes": {}, "reason": reason}
        finally:
            self._probing = None
            asked, self._asked = self._asked, []
        stats = self._stats(health)
        for msg in asked:
            self._reply(msg, stats)

    def _stats(self, health: dict[str, Any]) -> dict[str, Any]:
        connection, denied = self._connection, self._running.denials.subjects
        if denied:
            health = {**health, "status": "unwell", "denied": denied}
        definition = self._running.definition
        return shapes.stats(
            self._running,
            {
                **health,
                "connection": connection.status.name.lower(),
                "reconnects": connection.stats().reconnects,
            },
            partial(definition.callbacks.shown, definition.name),
        )

    def _reply(self, msg: Msg, value: Any) -> None:
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        try:
            # The text of an error may hold half a character.
            self._connection.link.send(msg.raw_reply, data.encode("utf-8", "replace"))
        except MaxPayloadError as error:
            text = f"the answer of {error.size} bytes is too large: ask for one endpoint by name"
            headers = {"Nats-Service-Error": text, "Nats-Service-Error-Code": "413"}
            self._connection.link.send(msg.raw_reply, b"", b"", encode_headers(headers))
        except NatsError as error:
            self._log.warning("not answered", "%s was not answered: %s", msg.subject, error)

"""The services that are there now, and their contracts: asked of the services themselves.

NATS announces no service that comes or goes, so a `Catalog` has to look: one PING, which each
instance answers, and one question for the contract of each service and version that is new. Nobody
looks while nobody asks: a look begins with a request that comes `refresh` seconds or more after the
last one, and with a path that is not known, and there is one look at a time.

Whoever may answer discovery can answer anything, and as often as they like. So what one look takes
in is bounded, and so is all that is kept; services that were there before are kept before others.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from natsrpc import discovery
from natsrpc.core import Connection, Throttle
from natsrpc.describe import read_document, version_numbers
from natsrpc.discovery import ServiceIdentity
from natsrpc.errors import ConfigError, NatsError, NatsRpcError, NoRespondersError, RpcError

from .routes import Route, Routes, route_of

__all__ = ["Catalog", "Entry", "Snapshot"]

MAX_ENTRIES = 512
"""Services, each version by itself."""

MAX_NEW = 64
"""New ones of them whose contract one look asks for."""

MAX_BYTES = 16 * 1024 * 1024
"""Contracts of all of them, as JSON."""

MAX_PARTS = 256
"""Endpoints asked for one by one, of a service whose contract does not fit one message."""

MAX_NAME = 256
"""Characters of a name, a version or an id; who has longer ones is not listed."""

AT_ONCE = 8
"""Contracts asked for at the same time."""

TRIES = 3
"""Looks in which a service is asked for its contract and does not tell it; then it is left."""

PATIENCE = 5.0
"""Seconds that one look waits for contracts; who was slower is asked again in the next."""

MISSES = 2
"""Looks in a row without an answer after which a service is gone: one answer may be late."""

_PAUSE = 1.0
"""Seconds between two looks for what is not known."""

_LATE = "its contract did not come in time"

_TIMEOUT = 2.0
_STALL = 0.25

_log = Throttle(logging.getLogger("natsrpc.web"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a service: its instances, and its contract as `read_document` gives it.

    `described` is the id of the instance that told it, `tries` counts those who did not. `problem`
    says why there is no contract. `missed` counts the looks in a row that found no instance.
    """

    name: str
    version: str
    metadata: Mapping[str, str]
    instances: tuple[ServiceIdentity, ...]
    document: dict[str, Any] | None = None
    size: int = 0
    described: str = ""
    problem: str = ""
    missed: int = 0
    tries: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Its name and version."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look found. `number` differs from that of the one before if anything else does."""

    number: int = 0
    entries: tuple[Entry, ...] = ()
    seen: datetime | None = None
    is_complete: bool = True
    problem: str = ""


_Made = dict[tuple[str, str], tuple[object, list[Route]]]
"""The routes of each version of a service, with the contract of which they were made."""


@dataclass(slots=True)
class _Told:
    """A contract as an instance told it, or why there is none."""

    document: dict[str, Any] | None = None
    size: int = 0
    problem: str = ""


class Catalog:
    """The services that are there, as the last look found them, in `snapshot`; and in `routes` the
    paths of their endpoints.

    Args:
        connection: where to ask.
        names: the services to look for; all if there are none.
        refresh: seconds after which what is known is looked up again, when it is asked for.
    """

    def __init__(
        self, connection: Connection, names: Iterable[str] = (), *, refresh: float = 10.0
    ) -> None:
        self._connection = connection
        self._names = tuple(names)
        self._refresh = refresh
        self._time = connection.link.loop.time
        self._looking: asyncio.Task[None] | None = None
        self._due = self._soonest = self._time()
        self.snapshot: Snapshot = Snapshot()
        self.routes: Routes = Routes()
        self._made: _Made = {}

    # asked for by requests

    def touch(self) -> None:
        """Begin a look if the last one is long ago. Never waits."""
        if self._time() >= self._due:
            self._begin()

    async def refreshed(self) -> Snapshot:
        """What is there, looked up again if the last look is long ago."""
        self.touch()
        if self._looking is not None:
            await asyncio.shield(self._looking)
        return self.snapshot

    async def missed(self) -> bool:
        """Look for what is not known, unless that was done just now; whether there was a look."""
        if self._looking is None and self._time() < self._soonest:
            return False
        self._begin()
        assert self._looking is not None  # just begun
        await asyncio.shield(self._looking)
        return True

    def doubt(self) -> None:
        """Take note that a service that is known did not answer: a look comes soon."""
        self._due = min(self._due, self._soonest)

    async def close(self) -> None:
        """End a look that is under way."""
        looking = self._looking
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    # the look

    def _begin(self) -> None:
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        begun = self._time()
        try:
            snapshot = await self._next()
            if snapshot.number != self.snapshot.number:
                self.routes, self._made = await asyncio.to_thread(_routes, snapshot, self._made)
            self.snapshot = snapshot
        except NatsError as error:  # no connection, no permission: what is known stays
            _log.warning("look", "could not look for services: %s", error)
            self.snapshot = _changed(self.snapshot, problem=str(error))
        finally:
            # what takes long is not done more often than it can be
            now = self._time()
            self._soonest = now + max(_PAUSE, 4 * (now - begun))
            self._due = now + max(self._refresh, 4 * (now - begun))
            self._looking = None

    async def _next(self) -> Snapshot:
        found, is_complete = _grouped(await self._ping())
        before = {entry.key: entry for entry in self.snapshot.entries}
        kept = (_kept(entry, found.get(entry.key, [])) for entry in before.values())
        entries = {entry.key: entry for entry in kept if entry.missed < MISSES}
        for key in [key for key in found if key not in entries][: MAX_ENTRIES - len(entries)]:
            instances = found[key]
            entries[key] = Entry(*key, instances[0].metadata, tuple(instances))
        unread = [e for e in entries.values() if not (e.described or e.missed or e.tries >= TRIES)]
        unread.sort(key=lambda entry: entry.tries)
        size = sum(entry.size for entry in entries.values())
        for entry in await self._described(unread[:MAX_NEW], size):
            entries[entry.key] = entry
        all_here = len(unread) <= MAX_NEW and all(key in entries for key in found)
        ordered = tuple(entries[key] for key in sorted(entries))
        return _changed(self.snapshot, ordered, is_complete and all_here, "")

    async def _ping(self) -> list[ServiceIdentity]:
        asked = [
            discovery.ping(self._connection, name, timeout=_TIMEOUT, stall=_STALL)
            for name in self._names or ("",)
        ]
        return [one for each in await asyncio.gather(*asked) for one in each]

    async def _described(self, entries: list[Entry], size: int) -> list[Entry]:
        """The same entries with their contracts, as far as those come in time and all of them
        fit."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(entry: Entry) -> _Told:
            async with gate:
                return await self._told(entry)

        asking = [asyncio.ensure_future(ask(entry)) for entry in entries]
        try:
            if asking:
                await asyncio.wait(asking, timeout=PATIENCE)
        finally:
            for task in asking:
                task.cancel()
        done = []
        for entry, task in zip(entries, asking, strict=True):
            told = task.result() if task.done() and not task.cancelled() else _Told(problem=_LATE)
            if size - entry.size + told.size > MAX_BYTES:
                told = _Told(problem="there are too many contracts: this one is not read")
            done.append(_with(entry, told))
            size += done[-1].size - entry.size
        return done

    async def _told(self, entry: Entry) -> _Told:
        name, id_ = entry.name, entry.instances[0].id
        try:
            value = await self._schema(name, id_)
            return await asyncio.to_thread(_read, value, entry)
        except NatsRpcError as error:
            return _Told(problem=f"its contract cannot be read: {str(error)[:200]}")

    async def _schema(self, name: str, id_: str) -> dict[str, Any]:
        """What an instance tells of its types; of a stranger's what it tells of its endpoints."""
        ask = self._connection
        try:
            return await discovery.schema(ask, name, id_, timeout=_TIMEOUT)
        except NoRespondersError:  # no service of natsrpc
            is_large = False
        except RpcError as error:
            if error.code != 413:
                raise
            is_large = True
        infos = await discovery.info(ask, name, id_, timeout=_TIMEOUT)
        if not infos:
            raise NoRespondersError(f"$SRV.INFO.{name}.{id_}")
        info = infos[0]
        endpoints: list[Any] = []
        for each in info.endpoints[:MAX_PARTS] if is_large else ():
            told = await discovery.schema(ask, name, id_, endpoint=each.name, timeout=_TIMEOUT)
            found = told.get("endpoints")
            endpoints += found if isinstance(found, list) else []
        if not is_large:
            endpoints = [_strangers(each) for each in info.endpoints]
        return {**_named(info), "description": info.description, "endpoints": endpoints}


def _strangers(endpoint: discovery.EndpointInfo) -> dict[str, Any]:
    """An endpoint of a service of another implementation, of whose types nothing is known."""
    return {
        "name": endpoint.name,
        "subject": endpoint.subject,
        "queue_group": endpoint.queue_group,
        "description": endpoint.metadata.get("description", ""),
        "content_type": "application/json",
        "request": {},
        "response": {},
    }


def _named(identity: ServiceIdentity) -> dict[str, Any]:
    return {"name": identity.name, "version": identity.version or "0.0.0"}


def _routes(snapshot: Snapshot, before: _Made) -> tuple[Routes, _Made]:
    """All routes of a snapshot. Those of a contract that is the same as before stay the same
    objects: the client has bound its calls to them."""
    made: _Made = {}
    for entry in snapshot.entries:
        if entry.document is None:
            continue
        document, routes = before.get(entry.key, (None, []))
        if document is not entry.document:
            endpoints = entry.document["endpoints"]
            found = (route_of(entry.name, entry.version, each) for each in endpoints)
            routes = [route for route in found if route is not None]
        made[entry.key] = entry.document, routes
    newest = sorted(made, key=lambda key: version_numbers(key[1]), reverse=True)
    return Routes(route for key in newest for route in made[key][1]), made


def _grouped(
    answers: list[ServiceIdentity],
) -> tuple[dict[tuple[str, str], list[ServiceIdentity]], bool]:
    """The instances of each version of each service, and whether all could be taken."""
    found: dict[tuple[str, str], list[ServiceIdentity]] = {}
    for answer in answers:
        if max(len(answer.name), len(answer.version), len(answer.id)) > MAX_NAME:
            continue
        key = answer.name, answer.version
        if key not in found and len(found) >= 2 * MAX_ENTRIES:
            return found, False
        found.setdefault(key, []).append(answer)
    return found, True


def _kept(entry: Entry, instances: list[ServiceIdentity]) -> Entry:
    """An entry of before, with the instances of now. The contract is asked for again once the
    instance that told it is gone: another may tell another one."""
    if not instances:
        return replace(entry, missed=entry.missed + 1)
    is_there = entry.described in {each.id for each in instances}
    return replace(
        entry,
        metadata=instances[0].metadata,
        instances=tuple(instances),
        described=entry.described if is_there else "",
        tries=entry.tries if is_there or not entry.described else 0,
        missed=0,
    )


def _with(entry: Entry, told: _Told) -> Entry:
    """An entry with what an instance told; what was told before stays where that is nothing."""
    if told.document is None:
        return replace(entry, problem=told.problem, tries=entry.tries + 1)
    id_ = entry.instances[0].id
    return replace(
        entry, document=told.document, size=told.size, described=id_, problem="", tries=0
    )


def _read(value: dict[str, Any], entry: Entry) -> _Told:
    """Read a contract in a thread: a large one takes its time. NaN, which is no JSON, becomes null.

    Raises:
        ConfigError: it is none.
    """
    try:
        text = json.dumps(value)
        plain = json.loads(text, parse_constant=lambda _: None)
    except (RecursionError, ValueError):
        raise ConfigError("this contract is nested too deeply") from None
    document = read_document({**plain, "name": entry.name, "version": entry.version or "0.0.0"})
    return _Told(document, len(text))


def _changed(
    before: Snapshot,
    entries: tuple[Entry, ...] | None = None,
    is_complete: bool | None = None,
    problem: str = "",
) -> Snapshot:
    """The snapshot after `before`; its number goes up if it tells anything else."""
    entries = before.entries if entries is None else entries
    is_complete = before.is_complete if is_complete is None else is_complete
    same = _essence(before.entries) == _essence(entries) and before.is_complete == is_complete
    number = before.number + (0 if same and before.problem == problem and before.seen else 1)
    return Snapshot(number, entries, datetime.now(UTC), is_complete, problem)


def _essence(entries: tuple[Entry, ...]) -> list[tuple[Any, ...]]:
    """What a description tells of entries; documents are compared as objects, which is quick."""
    return [
        (*e.key, id(e.document), e.problem, tuple(sorted(i.id for i in e.instances)))
        for e in entries
    ]

"""`OnceBucket`: which jobs were begun and done, in a key-value bucket.

```
(no key) ──claim──► running ──► done
   ▲                 │  │  └──► doubtful     cut off; or its holder is silent for `lease` seconds
   └──────failed─────┘  └ renewed each third of the lease
```

Whoever writes a key names the revision that it knows, so that one holder has it at a time.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from natsrpc.core import random_text
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    JetStreamError,
    KeyExistsError,
    KeyNotFoundError,
    NatsError,
    NatsTimeoutError,
    Reject,
    RetryLater,
    WrongLastRevisionError,
)
from natsrpc.jetstream import Entry, KeyValue

from .effects import check_key

logger: logging.Logger = logging.getLogger("natsrpc.durable")

State = Literal["running", "done", "doubtful"]

LEAST_LEASE = 1.0
"""Seconds: below that a busy loop looks dead."""

MOST_LEASE = 365 * 86400.0
"""Seconds. A job whose process died waits so long for its next delivery."""

_TRIES = 5
_CUT_OFF = 2.0
_LONGEST = 200
_is_plain = re.compile(r"[A-Za-z0-9_/=-]+(\.[A-Za-z0-9_/=-]+)*").fullmatch


class Note(NamedTuple):
    """What a key holds: how far its job is, and who wrote that."""

    state: State
    holder: str

    def encode(self) -> bytes:
        """The value of the key."""
        return json.dumps(self._asdict()).encode()


class OnceBucket:
    """A store for `natsrpc.once`: a key-value bucket.

    A job is begun by one process at a time, and never again once it was done. A process that dies
    in between leaves it in doubt: nobody knows whether its effect was done.

    Args:
        kv: the bucket, of its own. Give it a `ttl` that is longer than a job can be delivered
            again; where a key is gone, its job counts as not begun.
        lease: seconds of silence, 1 to a year, after which the process that is at a job is taken
            for dead. The clocks of the processes and of the server must agree within a fraction of
            it.
        in_doubt: what becomes of such a job. "reject": it is never done twice, and goes to the
            worker's dead letters, for people to look at. "again": it is done again, and so perhaps
            twice.

    Raises:
        ConfigError: `lease` is too short or too long, or `in_doubt` another word.
        ConfigTypeError: `kv` is no bucket.
    """

    def __init__(
        self,
        kv: KeyValue,
        *,
        lease: float = 30.0,
        in_doubt: Literal["reject", "again"] = "reject",
    ) -> None:
        if not isinstance(kv, KeyValue):
            raise ConfigTypeError(f"OnceBucket takes a KeyValue, not {kv!r}")
        is_number = isinstance(lease, int | float) and not isinstance(lease, bool)
        if not is_number or not LEAST_LEASE <= lease <= MOST_LEASE:
            expected = f"{LEAST_LEASE:g} to {MOST_LEASE:.0f} seconds"
            raise ConfigError(f"OnceBucket(lease={lease!r}): expected {expected}")
        if in_doubt not in ("reject", "again"):
            raise ConfigError(f"in_doubt is {in_doubt!r}: expected 'reject' or 'again'")
        self.lease: float = float(lease)
        self.in_doubt: Literal["reject", "again"] = in_doubt
        self._kv = kv

    async def claim(self, key: str) -> BucketClaim | None:
        """Begin a job; None where it was done. For `natsrpc.once`.

        Raises:
            RetryLater: another process is at it.
            Reject: it is in doubt.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
                `KeyValue.create`. It may be in doubt then, if it cannot be asked.
        """
        name, holder = name_of(key), random_text(22).decode()
        value = Note("running", holder).encode()
        for _ in range(_TRIES):
            try:
                return self._held(key, holder, await self._kv.create(name, value))
            except asyncio.CancelledError:
                await self._take_back(name, holder)
                raise
            except (KeyExistsError, NatsTimeoutError) as error:
                entry = await self._entry(name)
                if entry is None:
                    if isinstance(error, NatsTimeoutError):
                        raise
                    continue
            note = read(entry)
            if note.holder == holder:  # the answer was lost
                return self._held(key, holder, entry.revision)
            if note.state == "done":
                return None
            self._check_doubtful(key, note, entry)
            with contextlib.suppress(WrongLastRevisionError):  # another was quicker
                revision = await self._kv.update(name, value, last=entry.revision)
                return self._held(key, holder, revision)
        raise RetryLater(1.0, f"others are at {key!r}")

    def _held(self, key: str, holder: str, revision: int) -> BucketClaim:
        return BucketClaim(self._kv, key, holder, revision, self.lease)

    def _check_doubtful(self, key: str, note: Note, entry: Entry) -> None:
        """Refuse to begin a job that another process is at, or may have done."""
        age = (datetime.now(UTC) - entry.created).total_seconds()
        if note.state == "running" and age < self.lease:
            raise RetryLater(self.lease - max(age, 0.0), f"another process is at {key!r}")
        if self.in_doubt == "reject":
            raise Reject(
                f"a process ended amid {key!r}: whether its effect was done is not known. See to "
                "it, then have it done again by OnceBucket.forget, or note it as done by `settle`"
            )
        logger.warning("%r is done again, and so perhaps twice: a process ended amid it", key)

    async def _take_back(self, name: str, holder: str) -> None:
        """Give back what was perhaps claimed, and was not begun."""
        try:
            async with asyncio.timeout(_CUT_OFF):
                entry = await self._entry(name)
                if entry is not None and read(entry).holder == holder:
                    await self._kv.purge(name, last=entry.revision)
        except (NatsError, TimeoutError) as error:
            logger.warning("the claim on %r cannot be given back: %s", name, error)

    async def _entry(self, name: str) -> Entry | None:
        try:
            return await self._kv.get(name)
        except KeyNotFoundError:
            return None

    async def forget(self, key: str) -> None:
        """Let a job count as not begun: its next delivery does it.

        Raises:
            ConfigError: the key is none for `natsrpc.once`.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
                `KeyValue.purge`.
        """
        await self._kv.purge(name_of(key))

    async def settle(self, key: str) -> None:
        """Let a job count as done: its next delivery does nothing.

        Raises:
            ConfigError: the key is none for `natsrpc.once`.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
                `KeyValue.put`.
        """
        await self._kv.put(name_of(key), Note("done", "").encode())


class BucketClaim:
    """A job that this process is at. Its key is renewed until one of the three ends it."""

    def __init__(self, kv: KeyValue, key: str, holder: str, revision: int, lease: float) -> None:
        self._kv = kv
        self._key = key
        self._name = name_of(key)
        self._holder = holder
        self._revision = revision
        self._writing = asyncio.Lock()
        self._is_over = False
        self._renewing = asyncio.create_task(self._renew(lease / 3), name="natsrpc once")

    async def done(self) -> None:
        """Note that the effect was done.

        Raises:
            JetStreamError: another process has taken it over: the effect was done twice.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: nobody knows whether it was
                noted.
        """
        await self._end("done")

    async def failed(self) -> None:
        """Give it back: the effect was not done. What goes wrong is logged."""
        self._over()
        try:
            async with self._writing:
                await self._kv.purge(self._name, last=self._revision)
        except NatsError as error:
            logger.warning("%r cannot be given back, and is in doubt: %s", self._key, error)

    async def doubtful(self) -> None:
        """Note that it was cut off. What goes wrong is logged: then its lease tells it."""
        try:
            async with asyncio.timeout(_CUT_OFF):
                await self._end("doubtful")
        except (NatsError, TimeoutError) as error:
            logger.warning("%r was cut off, and that cannot be noted: %s", self._key, error)

    async def _end(self, state: State) -> None:
        self._over()
        async with self._writing:
            await self._write(state)

    def _over(self) -> None:
        self._is_over = True
        if not self._writing.locked():  # else it ends by itself, and its revision is known
            self._renewing.cancel()

    async def _renew(self, period: float) -> None:
        while not self._is_over:
            await asyncio.sleep(period)
            async with self._writing:
                if self._is_over:
                    return
                try:
                    await self._write("running")
                except ConnectionClosedError:
                    return
                except NatsError as error:
                    logger.warning("the claim on %r cannot be renewed: %s", self._key, error)

    async def _write(self, state: State) -> None:
        """Write where the job is. An answer that was lost is looked for."""
        for left in reversed(range(_TRIES)):
            try:
                value = Note(state, self._holder).encode()
                self._revision = await self._kv.update(self._name, value, last=self._revision)
            except (WrongLastRevisionError, NatsTimeoutError):
                if not left:
                    raise
                if await self._look() == state != "running":
                    return
            else:
                return

    async def _look(self) -> State:
        """How far the job is, where this process still has it; its revision is then known."""
        entry = await self._kv.get(self._name)
        note = read(entry)
        if note.holder != self._holder:
            raise JetStreamError(
                f"{self._key!r} was taken over by another process: this one was silent for longer "
                "than its lease, and the effect may be done twice"
            )
        self._revision = entry.revision
        return note.state


def read(entry: Entry) -> Note:
    """What an entry says.

    Raises:
        JetStreamError: it is none of ours.
    """
    try:
        found: Any = json.loads(entry.value)
        if found["state"] in ("running", "done", "doubtful") and isinstance(found["holder"], str):
            return Note(found["state"], found["holder"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise JetStreamError(
        f"key {entry.key!r} of bucket {entry.bucket!r} holds something else: a bucket for once is "
        "for nothing else"
    )


def name_of(key: str) -> str:
    """The key in the bucket: the same where it can be one, else in base64, or its digest.

    Raises:
        ConfigError: it is no key.
    """
    check_key(key)
    if len(key) > _LONGEST:
        return f"h.{hashlib.sha256(key.encode()).hexdigest()}"
    if _is_plain(key):
        return f"k.{key}"
    return f"b.{base64.urlsafe_b64encode(key.encode()).decode()}"

"""`once`: lets the effect of a job be done once, though the job may be delivered again.

A worker that dies between finishing a job and its acknowledgement is given the job again: the
server cannot know that it was done. Only a record that is kept together with the effect tells.
`once` asks a store of such records; what it can promise is the store's to keep:

- a table of the program's own database, written in the transaction that the effect is part of: the
  two are there together or not at all, so the effect is done exactly once (see `sql`);
- a key-value bucket, for effects outside of a database: begun once, and what died in between is
  told, for nobody can know whether its effect was done (see `buckets`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, TypeAlias

from natsrpc.errors import ConfigError, ConfigTypeError


class Claim(Protocol):
    """The right to do a job's effect, which one holder has at a time."""

    async def done(self) -> None:
        """Note that the effect was done."""
        ...

    async def failed(self) -> None:
        """Give it back: the effect was not done."""
        ...

    async def doubtful(self) -> None:
        """Note that nobody knows whether the effect was done."""
        ...


class ClaimStore(Protocol):
    """A store that is not part of the effect's transaction."""

    async def claim(self, key: str) -> Claim | None:
        """The claim on a key; None where its effect was done."""
        ...


Add: TypeAlias = Callable[[str], "bool | Awaitable[bool]"]
"""Adds a key to a table, in the transaction that the effect is part of; True if it was not there.
It may be plain or async."""


_ASYNC = "this store of once is async: write `async with natsrpc.once(...)`"


def once(key: str, store: Add | ClaimStore) -> Once:
    """A block around the effect of a job, which tells whether it is still to be done.

        async with natsrpc.once(event.order_id, store) as is_first:
            if is_first:
                ...

    If the block raises, the effect counts as not done, and the key as not seen; the job is then
    tried again. In a plain handler write `with`.

    Args:
        key: what tells the job from all others, of the same store: rather a fact of the business,
            such as the order's number, than the number of a message.
        store: a function that adds a key in the effect's own transaction and tells whether it was
            new, such as a `natsrpc.durable.SqlTable`; or a `natsrpc.durable.OnceBucket`.

    Raises:
        ConfigError: the key is empty, or cannot be encoded.
        ConfigTypeError: it is no text, or the store is none.
        RetryLater: from entering it: another process is at it (`OnceBucket`).
        Reject: from entering it: a process died amid it (`OnceBucket`).
    """
    check_key(key)
    if not callable(store) and not hasattr(store, "claim"):
        raise ConfigTypeError(
            f"the store of once is {store!r}: expected a function that adds a key, or an OnceBucket"
        )
    return Once(key, store)


def check_key(key: str) -> None:
    """Refuse what cannot tell one job from another, in any store.

    Raises:
        ConfigError: it is empty, or has half a character, which no store can keep.
        ConfigTypeError: it is no text.
    """
    if not isinstance(key, str):
        raise ConfigTypeError(f"the key of once is {key!r}: expected a str")
    if not key:
        raise ConfigError("the key of once is empty: expected what tells one job from another")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"the key of once is {key!r}: expected valid Unicode, without half a character"
        ) from None


class Once:
    """A block around an effect. Made by `once`; entered once."""

    def __init__(self, key: str, store: Add | ClaimStore) -> None:
        self._key = key
        self._store = store
        self._claim: Claim | None = None

    async def __aenter__(self) -> bool:
        if not callable(self._store):
            self._claim = await self._store.claim(self._key)
            return self._claim is not None
        added = self._store(self._key)
        return _truth(await added if inspect.isawaitable(added) else added)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        claim, self._claim = self._claim, None
        if claim is None:
            return  # the transaction has it: with the effect, or not at all
        if error is None:
            await claim.done()
        elif isinstance(error, Exception):
            await claim.failed()
        else:
            await claim.doubtful()

    def __enter__(self) -> bool:
        if not callable(self._store):
            raise ConfigTypeError(_ASYNC)
        added = self._store(self._key)
        if inspect.isawaitable(added):
            if inspect.iscoroutine(added):
                added.close()
            raise ConfigTypeError(_ASYNC)
        return _truth(added)

    def __exit__(self, *_: object) -> None:
        """Nothing is left to do: the transaction has it."""


def _truth(added: object) -> bool:
    if not isinstance(added, bool):
        raise ConfigTypeError(
            f"the store of once answered {added!r}: expected True for a key that was not there, "
            "and False for one that was"
        )
    return added

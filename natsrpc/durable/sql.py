"""`SqlTable`: the keys of jobs that were done, in a table of the program's own database.

A key is added in the transaction that the effect is part of. Two deliveries of one job at a time
meet at the key: the second waits for the first's transaction, and finds the key if that was
committed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from natsrpc.errors import ConfigError, ConfigTypeError

Execute: TypeAlias = Callable[[str, tuple[str]], Any]
"""Runs a statement with parameters, as `execute` of a DB-API connection or cursor; plain or
async."""

_is_name = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)?").fullmatch
_PLACEHOLDERS = ("?", "%s", "$1", ":1")


class SqlTable:
    """A store for `natsrpc.once`: a table of SQLite or PostgreSQL.

        store = natsrpc.durable.SqlTable(connection.execute)

    Args:
        execute: runs a statement in the effect's own transaction: `execute` of a connection or
            cursor of sqlite3, aiosqlite or psycopg; of asyncpg
            `lambda text, values: connection.execute(text, *values)`.
        table: the table's name.
        placeholder: how the driver writes a parameter: "?" for SQLite, "%s" for psycopg, "$1" for
            asyncpg.

    Raises:
        ConfigError: a name or a placeholder that cannot be.
        ConfigTypeError: `execute` cannot be called.
    """

    def __init__(
        self, execute: Execute, *, table: str = "natsrpc_once", placeholder: str = "?"
    ) -> None:
        if not callable(execute):
            raise ConfigTypeError(f"execute is {execute!r}: expected a connection's `execute`")
        if not isinstance(table, str) or not _is_name(table):
            raise ConfigError(f"bad table {table!r}: expected a name, as 'natsrpc_once'")
        if placeholder not in _PLACEHOLDERS:
            known = ", ".join(map(repr, _PLACEHOLDERS))
            raise ConfigError(f"bad placeholder {placeholder!r}: expected one of {known}")
        self._execute = execute
        into = f"INTO {table} (key) VALUES ({placeholder})"
        self._insert = f"INSERT {into} ON CONFLICT DO NOTHING"
        self.schema: str = (
            f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, "
            "added_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)"
        )
        """The statement that makes the table. Delete old rows by `added_at` as you like: later than
        a job can be delivered again."""

    def __call__(self, key: str) -> bool | Awaitable[bool]:
        """Add a key; whether it was not there. Awaitable where `execute` is.

        Raises:
            ConfigTypeError: the driver does not tell how many rows were added.
        """
        result = self._execute(self._insert, (key,))
        return _awaited(result) if inspect.isawaitable(result) else _was_added(result)


async def _awaited(result: Awaitable[Any]) -> bool:
    return _was_added(await result)


def _was_added(result: Any) -> bool:
    """Whether a row was added: by a cursor's `rowcount`, or the status that asyncpg gives."""
    count = getattr(result, "rowcount", None)
    if isinstance(result, str):
        last = result.rpartition(" ")[2]
        count = int(last) if last.isdecimal() else None
    if count not in (0, 1):
        raise ConfigTypeError(
            f"execute gave {result!r}, which does not tell how many rows were added: expected a "
            "cursor with a rowcount of 0 or 1"
        )
    return bool(count)

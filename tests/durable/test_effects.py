"""`natsrpc.once`: an effect is done once, whatever is delivered again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.durable import SqlTable
from natsrpc.errors import ConfigError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE charges (order_id TEXT)")
        connection.execute(SqlTable(connection.execute).schema)
        connection.commit()
        yield connection


def charges(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM charges").fetchone()[0]
    return found


def charge(connection: sqlite3.Connection, order: str, *, fails: bool = False) -> bool:
    """A plain handler's work: the effect and the key in one transaction."""
    with connection, natsrpc.once(order, SqlTable(connection.execute)) as is_first:
        if is_first:
            connection.execute("INSERT INTO charges VALUES (?)", (order,))
        if fails:
            raise RuntimeError("after the effect, before the commit")
    return is_first


def test_an_effect_in_a_transaction_is_done_once(database: sqlite3.Connection) -> None:
    assert [charge(database, order) for order in ("1", "1", "2", "1")] == [True, False, True, False]
    assert charges(database) == 2


def test_what_is_rolled_back_counts_as_not_done(database: sqlite3.Connection) -> None:
    with pytest.raises(RuntimeError):
        charge(database, "1", fails=True)
    assert charges(database) == 0
    assert charge(database, "1") is True
    with pytest.raises(RuntimeError):  # a delivery that comes later undoes nothing
        charge(database, "1", fails=True)
    assert (charges(database), charge(database, "1")) == (1, False)


def test_two_deliveries_at_a_time_meet_at_the_key(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    """The second waits for the first's transaction: here, until its patience is over."""
    with closing(sqlite3.connect(tmp_path / "shop.db", timeout=0.01)) as other:
        with natsrpc.once("1", SqlTable(database.execute)) as is_first:
            assert is_first
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                charge(other, "1")
            other.rollback()
        database.commit()
        assert charge(other, "1") is False


async def test_async_drivers_are_awaited() -> None:
    """As aiosqlite and psycopg give a cursor, and asyncpg a status."""
    done: set[str] = set()

    class Cursor:
        def __init__(self, rowcount: int) -> None:
            self.rowcount = rowcount

    async def execute(text: str, values: tuple[str]) -> Any:
        assert text == "INSERT INTO shop.done (key) VALUES (%s) ON CONFLICT DO NOTHING"
        is_new = values[0] not in done
        done.add(values[0])
        return Cursor(int(is_new)) if values[0] == "a" else f"INSERT 0 {int(is_new)}"

    table = SqlTable(execute, table="shop.done", placeholder="%s")
    for key in ("a", "b"):
        for expected in (True, False):
            async with natsrpc.once(key, table) as is_first:
                assert is_first is expected


async def test_a_function_of_the_programs_own_is_a_store() -> None:
    seen: set[str] = set()

    def add(key: str) -> bool:
        is_new = key not in seen
        seen.add(key)
        return is_new

    async def add_later(key: str) -> bool:
        await asyncio.sleep(0)
        return add(key)

    stores: list[Callable[[str], Any]] = [add, add_later]
    for number, store in enumerate(stores):
        async with natsrpc.once(f"k{number}", store) as is_first:
            assert is_first
        async with natsrpc.once(f"k{number}", store) as is_first:
            assert not is_first
    with natsrpc.once("plain", add) as is_first:
        assert is_first


def test_a_plain_block_refuses_an_async_store() -> None:
    async def add(key: str) -> bool:
        return True

    with pytest.raises(ConfigError, match="write `async with"), natsrpc.once("a", add):
        pass


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_a_store_that_does_not_tell_is_refused(answer: Any) -> None:
    with pytest.raises(ConfigError, match="expected True"), natsrpc.once("a", lambda key: answer):
        pass


@pytest.mark.parametrize(
    ("key", "store", "told"),
    [
        ("", lambda key: True, "is empty"),
        (5, lambda key: True, "expected a str"),
        ("\ud800", lambda key: True, r"'\\ud800': expected valid Unicode"),
        ("a", 5, "expected a function"),
    ],
)
def test_what_cannot_be_is_refused(key: Any, store: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        natsrpc.once(key, store)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"execute": 5}, "expected a connection's `execute`"),
        ({"table": "a; DROP TABLE b"}, "bad table"),
        ({"table": 5}, "bad table"),
        ({"placeholder": "x"}, "bad placeholder"),
    ],
)
def test_a_table_that_cannot_be_is_refused(options: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SqlTable(**{"execute": print, **options})


@pytest.mark.parametrize("result", [None, -1, "SELECT 5 x"])
def test_a_driver_that_does_not_count_is_refused(result: Any) -> None:
    class Cursor:
        rowcount = result

    given = result if isinstance(result, str) else Cursor()
    with pytest.raises(ConfigError, match="does not tell how many rows"):
        SqlTable(lambda text, values: given)("a")

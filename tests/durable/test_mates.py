"""What processes of one worker tell each other when a server has come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from natsrpc.core import Connection, connect
from natsrpc.durable.job import Key
from natsrpc.durable.mates import Mates
from natsrpc.testing import Broker
from tests.core.harness import eventually

SUBJECT = "_NATSRPC.work.S.d"


class Process:
    """One of the processes, with its own clock."""

    def __init__(self, connection: Connection, *held: Key) -> None:
        self.held, self.given, self.now = list(held), list[Key](), 0.0
        link = connection.link
        self.mates = Mates(link, lambda: self.now, SUBJECT, lambda: self.held, self.given.append)
        self.mates.begin()

    def claims(self, seq: int) -> bool:
        return self.mates.claims((b"%d" % seq, b"7"))


def keys(*seqs: int) -> list[Key]:
    return [(b"%d" % seq, b"7") for seq in seqs]


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connect("nats://memory:4222", **broker.options()) as found:
        yield found


async def test_who_comes_back_tells_what_it_has_and_hears_what_others_have(
    connection: Connection,
) -> None:
    first, second = Process(connection, *keys(1, 2)), Process(connection)
    await connection.flush()
    second.mates.back()  # it has nothing, and asks all the same
    await eventually(lambda: second.claims(1) and second.claims(2))
    assert not second.claims(3)
    assert not first.claims(1)  # its own are no other's


async def test_who_is_given_what_another_has_tells_it(connection: Connection) -> None:
    first, second = Process(connection, *keys(1, 2, 3)), Process(connection)
    await connection.flush()
    first.mates.back()
    await eventually(lambda: second.claims(1))
    second.claims(2)
    await eventually(lambda: first.given == keys(1, 2))


async def test_claims_end_by_themselves(connection: Connection) -> None:
    first, second = Process(connection, *keys(1)), Process(connection)
    await connection.flush()
    first.mates.back()
    await eventually(lambda: second.claims(1))
    second.now = 29.0
    assert second.claims(1)
    second.now = 31.0
    assert not second.claims(1)


async def test_thousands_are_told_in_parts(connection: Connection) -> None:
    first, second = Process(connection, *keys(*range(3000))), Process(connection)
    await connection.flush()
    first.mates.back()
    await eventually(lambda: second.claims(2999) and second.claims(0))


async def test_strangers_cost_no_more_than_so_much(connection: Connection) -> None:
    process = Process(connection)
    await connection.flush()
    for data in (b"", b"\n", b"x has\n\n..\n.", b"x nonsense\n1.7", b"\xff has\n1", b"has"):
        await connection.publish(SUBJECT, data)
    lines = [
        b"x has\n" + b"\n".join(b"%d.7" % n for n in range(start, start + 5000))
        for start in range(0, 100_000, 5000)
    ]
    for data in lines:
        await connection.publish(SUBJECT, data)
    await connection.flush()
    await eventually(lambda: process.claims(0))
    assert process.claims(60_000)
    assert not process.claims(99_999)
    assert not process.given


async def test_what_names_no_message_is_not_kept(connection: Connection) -> None:
    process = Process(connection)
    await connection.flush()
    large = b"1" * 100_000
    odd = [large + b".7", b"1." + large, b"a.7", b"1.", b".7", b"1.7.7", b"-1.7", b"1 .7"]
    await connection.publish(SUBJECT, b"\n".join((b"x has", *odd, b"2.7")))
    await connection.publish(SUBJECT, b"\n".join((b"x given", *odd, b"3.7")))
    await eventually(lambda: process.given)
    assert process.given == keys(3)
    assert process.claims(2)
    assert not process.mates.claims((large, b"7"))
    assert not process.mates.claims((b"a", b"7"))


async def test_who_has_left_hears_nothing(connection: Connection) -> None:
    first, second = Process(connection, *keys(1)), Process(connection)
    await connection.flush()
    second.mates.end()
    first.mates.back()
    await connection.flush()
    await asyncio.sleep(0)
    assert not second.claims(1)

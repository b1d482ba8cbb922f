"""`natsrpc dead`: dead letters listed, shown and requeued."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc.jetstream import JetStream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .processes import run_command

pytestmark = pytest.mark.live


class Placed(BaseModel):
    order: int


def giving_up() -> natsrpc.Service:
    service = natsrpc.Service("billing", version="1.0.0")

    @service.worker("shop.*", stream="ORDERS", durable="d", dead_letter="dead.billing")
    async def charge(event: Placed) -> None:
        raise natsrpc.Reject(f"no customer \x1b[2J{event.order}")

    return service


async def give_up(url: str, *orders: int) -> None:
    async with natsrpc.connect(url) as client:
        js = JetStream(client.connection)
        for name, subjects in (("ORDERS", ["shop.*"]), ("DEAD", ["dead.>"])):
            await js.create_or_update_stream(StreamConfig(name=name, subjects=subjects))
        dead = await js.stream("DEAD")
        before = (await dead.info()).state.messages
        await js.publish("dead.billing", b"no letter")  # which is passed over
        for order in orders:
            headers = {"X-Tenant": "acme", "Nats-Msg-Id": f"order-{order}"}
            await js.publish("shop.eu", b'{"order": %d}' % order, headers=headers)
        await js.publish("shop.us", b"\xff\x00")
        async with client.serve(giving_up()):

            async def all_there() -> bool:
                return (await dead.info()).state.messages == before + len(orders) + 2

            await eventually(all_there)


@pytest.fixture
def url() -> Iterator[str]:
    with NatsServer(jetstream=True) as server:
        asyncio.run(give_up(server.url, 1, 2))
        yield server.url


def dead(url: str, *arguments: str) -> tuple[int, str, str]:
    return run_command("dead", *arguments, NATS_URL=url)


def test_they_are_listed_by_stream_or_subject(url: str) -> None:
    for where in ("DEAD", "dead.billing", "dead.>"):
        code, out, err = dead(url, "ls", where)
        assert (code, err) == (0, "")
        rows = out.splitlines()
        assert rows[0].split() == ["seq", "when", "worker", "message", "tries", "reason"]
        assert len(rows) == 4
        assert "billing/charge" in rows[1]
        assert "shop.eu (ORDERS 1)" in rows[1]
        assert "no customer \\x1b[2J1" in rows[1]  # what strangers wrote moves no cursor
    code, out, _ = dead(url, "ls", "DEAD", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["seq"] for each in found] == [2, 3, 4]
    assert found[0]["headers"] == {"Content-Type": ["application/json"]} or found[0]["headers"] == {
        "X-Tenant": ["acme"]
    }
    assert (found[0]["value"], found[2]["base64"]) == ('{"order": 1}', "/wA=")
    assert found[0]["origin_msg_id"] == "order-1"


def test_they_are_chosen_by_who_gave_them_up(url: str) -> None:
    code, out, _ = dead(url, "ls", "DEAD", "--service", "billing", "--worker", "charge", "-n", "1")
    assert (code, len(out.splitlines())) == (0, 2)
    code, out, err = dead(url, "ls", "DEAD", "--service", "other")
    assert (code, out) == (0, "")
    assert "no dead letters in DEAD" in err


def test_one_is_shown_with_its_message(url: str) -> None:
    code, out, _ = dead(url, "show", "dead.billing", "2")
    assert code == 0
    assert "reason: no customer" in out
    assert "origin subject: shop.eu" in out
    assert "header X-Tenant: acme" in out
    assert out.endswith('\n\n{"order": 1}\n')
    code, out, _ = dead(url, "show", "DEAD", "4", "--json")
    assert json.loads(out)["base64"] == "/wA="


def test_what_is_not_there_is_told(url: str) -> None:
    for arguments, expected in (
        (("ls", "NOWHERE"), "there is no stream 'NOWHERE', and none has that subject"),
        (("show", "DEAD", "99"), "stream 'DEAD' has no message 99"),
        (("show", "DEAD", "1"), "message 1 of stream 'DEAD' is no dead letter"),
        (("requeue", "DEAD", "99"), "stream 'DEAD' has no message 99"),
        (("requeue", "DEAD"), "name the letters by their numbers, or give --all"),
        (("requeue", "DEAD", "2", "--worker", "x"), "give --all, and no numbers"),
    ):
        code, out, err = dead(url, *arguments)
        assert code != 0
        assert out == ""
        assert expected in err


async def stored(url: str, stream: str) -> list[natsrpc.jetstream.StoredMsg]:
    async with natsrpc.core.connect(url) as connection:
        found = await JetStream(connection).stream(stream)
        state = (await found.info()).state
        seqs = range(state.first_seq, state.last_seq + 1)
        return [await found.get_msg(seq) for seq in seqs if state.messages]


def test_those_that_are_named_are_requeued(url: str) -> None:
    code, out, err = dead(url, "requeue", "DEAD", "3", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"seq": 3, "stream": "ORDERS", "stream_seq": 4}
    again = asyncio.run(stored(url, "ORDERS"))[-1]
    assert (again.subject, again.data) == ("shop.eu", b'{"order": 2}')
    assert again.headers["X-Tenant"] == "acme"
    assert again.headers["Nats-Msg-Id"].startswith("requeued:DEAD:3:")
    assert not [name for name in again.headers if name.startswith("Natsrpc-Dead")]
    _, out, _ = dead(url, "ls", "DEAD", "--json")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [2, 4]


def test_all_are_requeued_and_handled_again(url: str) -> None:
    code, out, _ = dead(url, "requeue", "dead.billing", "--all")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["2", "3", "4"]
    assert len(asyncio.run(stored(url, "ORDERS"))) == 6
    code, _, err = dead(url, "requeue", "DEAD", "--all")
    assert (code, "no dead letters in DEAD" in err) == (0, True)


def test_all_are_those_that_are_there_when_it_begins(url: str) -> None:
    """Its own messages may be given up again while it runs."""

    async def requeue() -> tuple[tuple[int, str, str], int]:
        async with natsrpc.connect(url) as client, client.serve(giving_up()):
            told = await asyncio.to_thread(dead, url, "requeue", "DEAD", "--all")
            js = JetStream(client.connection)
            stream, letters = await js.stream("ORDERS"), await js.stream("DEAD")

            async def all_there() -> bool:
                return (await letters.info()).state.messages == 4

            await eventually(all_there)  # one that is no letter, and those that came anew
            return told, (await stream.info()).state.last_seq

    (code, out, _), last_seq = asyncio.run(requeue())
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["2", "3", "4"]
    assert last_seq == 6


def test_one_that_is_missing_does_not_hold_up_the_others(url: str) -> None:
    code, out, err = dead(url, "requeue", "DEAD", "2", "99", "1", "4")
    assert code == 3
    assert [line.split()[0] for line in out.splitlines()] == ["2", "4"]
    assert "stream 'DEAD' has no message 99" in err
    assert "message 1 of stream 'DEAD' is no dead letter" in err


def test_a_letter_whose_stream_is_gone_stays(url: str) -> None:
    async def forget() -> None:
        async with natsrpc.core.connect(url) as connection:
            await JetStream(connection, timeout=1.0).delete_stream("ORDERS")

    asyncio.run(forget())
    code, out, err = dead(url, "requeue", "DEAD", "2")
    assert (code, out) == (1, "")
    assert "letter 2 stays: nobody stored 'shop.eu': no stream has that subject" in err
    assert dead(url, "show", "DEAD", "2")[0] == 0

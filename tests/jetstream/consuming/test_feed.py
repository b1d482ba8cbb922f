"""Feeds, against a stream that the test plays: gaps, new sessions, and the end of the beginning."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import StreamNotFoundError
from natsrpc.jetstream import JetStream, OrderedConsumer
from natsrpc.jetstream.api import Api
from natsrpc.jetstream.consuming import Cursor, Feed, Supply
from natsrpc.testing import Broker
from tests.core.harness import eventually


class PlayedStream:
    """The API of one stream `S`, whose consumers the test plays."""

    def __init__(self, nc: Connection) -> None:
        self.nc = nc
        self.made: list[dict[str, Any]] = []
        self.pulls: list[tuple[str, dict[str, Any]]] = []
        self.num_pending = 0
        self.last_seq = 100
        self.subjects: dict[str, int] = {}
        self.looks = 0

    async def open(self) -> PlayedStream:
        await self.nc.subscribe("played.CONSUMER.CREATE.S.>", cb=self._make)
        await self.nc.subscribe("played.CONSUMER.MSG.NEXT.S.*", cb=self._pull)
        await self.nc.subscribe("played.CONSUMER.DELETE.S.*", cb=self._delete)
        await self.nc.subscribe("played.STREAM.INFO.S", cb=self._tell)
        await self.nc.flush()
        return self

    async def _make(self, msg: Msg) -> None:
        config = json.loads(msg.data)["config"]
        self.made.append(config)
        info = {"name": config["name"], "config": config, "num_pending": self.num_pending}
        await msg.respond(json.dumps(info).encode())

    def _pull(self, msg: Msg) -> None:
        self.pulls.append((msg.reply, json.loads(msg.data)))

    async def _delete(self, msg: Msg) -> None:
        await msg.respond(b'{"success": true}')

    async def _tell(self, msg: Msg) -> None:
        state: dict[str, Any] = {"last_seq": self.last_seq}
        if b"subjects_filter" in msg.data:
            self.looks += 1
            state["subjects"] = self.subjects
        await msg.respond(json.dumps({"config": {"name": "S"}, "state": state}).encode())

    def send(self, *seqs: tuple[int, int]) -> None:
        """Messages with (stream sequence, consumer sequence), into the latest pull."""
        inbox = self.pulls[-1][0].encode()
        for stream_seq, consumer_seq in seqs:
            reply = b"$JS.ACK.S.C.1.%d.%d.1700000000000000000.0" % (stream_seq, consumer_seq)
            self.nc.link.send(inbox, b"%d" % stream_seq, reply)


@pytest.fixture
async def there(broker: Broker) -> Any:
    async with connect("nats://memory:4222", **broker.options()) as nc:
        yield await PlayedStream(nc).open()


async def ordered(nc: Connection, **options: Any) -> OrderedConsumer:
    stream = await JetStream(nc, api_prefix="played").stream("S")
    return await stream.ordered_consumer(**options)


async def test_a_gap_is_asked_for_again(there: PlayedStream, played: Connection) -> None:
    reader = await ordered(played)
    async with reader.messages() as messages:
        await eventually(lambda: there.pulls)
        there.send((5, 1), (6, 2), (9, 4))  # the third was lost
        got = [(await anext(messages)).metadata.stream_seq for _ in range(2)]
        waiting = messages.__anext__()
        count = len(there.made)

        async def again() -> None:
            await eventually(lambda: len(there.made) > count)
            await eventually(lambda: there.pulls[-1][0] != there.pulls[0][0])
            there.send((7, 1), (9, 2))

        answering = asyncio.create_task(again())
        got += [(await waiting).metadata.stream_seq, (await anext(messages)).metadata.stream_seq]
        await answering
    assert got == [5, 6, 7, 9]
    last = there.made[-1]
    assert (last["deliver_policy"], last["opt_start_seq"]) == ("by_start_sequence", 7)
    assert len({config["name"] for config in there.made}) == len(there.made)


async def test_a_new_session_begins_anew_though_no_gap_is_seen(
    there: PlayedStream, broker: Broker
) -> None:
    """What was lost may be the last for a long time."""
    options: Any = {**broker.options(), "reconnect_wait": 0.01, "name": "reader"}
    async with connect("nats://memory:4222", **options) as nc:
        reader = await ordered(nc)
        async with reader.messages() as messages:
            await eventually(lambda: there.pulls)
            there.send((5, 1))
            await anext(messages)
            count = len(there.made)
            await nc.force_reconnect()
            await eventually(lambda: len(there.made) > count)
            assert there.made[-1]["opt_start_seq"] == 6


async def test_of_pulls_that_do_not_wait_one_is_out_at_a_time(
    there: PlayedStream, played: Connection
) -> None:
    """A second one would be told that the first wants all there is, which is not the end."""
    there.num_pending = 300
    api = Api(played, api_prefix="played")
    feed = Feed(api, "S", Cursor(), Supply(10, 5, 30.0, 5.0), marks=True)
    await feed.open()
    await eventually(lambda: there.pulls)
    there.send(*((seq, seq) for seq in range(1, 9)))  # two are owed
    for _ in range(8):
        assert await feed.next() is not None
    await played.flush()
    assert [pull for _, pull in there.pulls] == [{"batch": 10, "no_wait": True}]
    there.send((9, 9), (10, 10))
    assert await feed.next() is not None
    assert await feed.next() is not None
    await eventually(lambda: len(there.pulls) == 2)
    inbox = there.pulls[-1][0].encode()
    there.nc.link.send(inbox, b"", b"", b"NATS/1.0 404 No Messages\r\n\r\n")
    assert await feed.next() is None
    await eventually(lambda: len(there.pulls) == 3)
    assert "no_wait" not in there.pulls[-1][1]
    await feed.close()


async def latest(there: PlayedStream, nc: Connection, *, pending: int) -> Feed:
    """A feed of the latest of each subject; what comes in a pull has the subject of its inbox."""
    there.num_pending = pending
    cursor = Cursor(deliver_policy="last_per_subject")
    feed = Feed(Api(nc, api_prefix="played"), "S", cursor, Supply(10, 5, 30.0, 5.0), marks=True)
    await feed.open()
    await eventually(lambda: there.pulls)
    return feed


def end_pull(there: PlayedStream) -> None:
    inbox = there.pulls[-1][0].encode()
    there.nc.link.send(inbox, b"", b"", b"NATS/1.0 404 No Messages\r\n\r\n")


async def test_the_end_is_believed_at_once_where_all_counts_agree(
    there: PlayedStream, played: Connection
) -> None:
    feed = await latest(there, played, pending=1)
    there.send((1, 1))
    end_pull(there)
    assert await feed.next() is not None
    assert await feed.next() is None
    assert there.looks == 0
    await feed.close()


async def test_an_end_that_the_server_tells_too_early_waits_for_what_is_missing(
    there: PlayedStream, played: Connection
) -> None:
    feed = await latest(there, played, pending=2)
    first = there.pulls[-1][0]
    there.subjects = {first: 1, "overwritten": 1}
    there.send((1, 1))
    end_pull(there)
    assert await feed.next() is not None
    ahead = asyncio.ensure_future(feed.next())
    await eventually(lambda: there.looks >= 3)
    assert not ahead.done()
    there.subjects = {first: 1}  # what was missing has been removed
    assert await ahead is None
    await feed.close()


async def test_what_is_removed_meanwhile_is_not_waited_for(
    there: PlayedStream, played: Connection
) -> None:
    feed = await latest(there, played, pending=2)
    there.subjects = {there.pulls[-1][0]: 1, "removed": 1}
    there.send((1, 1))
    end_pull(there)
    assert await feed.next() is not None
    await eventually(lambda: there.looks >= 2)
    del there.subjects["removed"]
    assert await asyncio.wait_for(feed.next(), 10) is None
    await feed.close()


async def test_a_stream_of_the_same_name_that_counts_anew_is_told(
    there: PlayedStream, broker: Broker
) -> None:
    options: Any = {**broker.options(), "reconnect_wait": 0.01}
    async with connect("nats://memory:4222", **options) as nc:
        reader = await ordered(nc)
        async with reader.messages() as messages:
            await eventually(lambda: there.pulls)
            there.send((5, 1))
            await anext(messages)
            there.last_seq = 3
            await nc.force_reconnect()
            with pytest.raises(StreamNotFoundError, match="made anew"):
                await anext(messages)


async def test_a_pull_that_does_not_wait_and_is_silent_is_looked_into(
    there: PlayedStream, played: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow server is not asked anew; one that has lost the consumer is."""
    monkeypatch.setattr("natsrpc.jetstream.consuming.silence._DOUBT", 0.01)
    looks: list[str] = []
    is_gone = False

    async def tell(msg: Msg) -> None:
        looks.append(msg.subject)
        gone = b'{"error": {"code": 404, "err_code": 10014, "description": "consumer not found"}}'
        await msg.respond(gone if is_gone else b"{}")

    await there.nc.subscribe("played.CONSUMER.INFO.S.*", cb=tell)
    await there.nc.flush()
    feed = await latest(there, played, pending=1)
    await eventually(lambda: len(looks) > 2)
    assert (len(there.made), len(there.pulls)) == (1, 1)
    is_gone = True
    await eventually(lambda: len(there.made) > 1)
    await feed.close()

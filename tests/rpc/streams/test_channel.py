"""One side of a conversation without a network: frames lost, out of order, senseless, or late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import AsyncError, Closed, Msg, Reconnected
from natsrpc.errors import (
    CallCancelledError,
    ConnectionClosedError,
    NoRespondersError,
    PermissionsError,
    ReplyTooLargeError,
    UnavailableError,
)
from natsrpc.rpc.headers import frame, item_frame
from natsrpc.rpc.streams import Patience
from natsrpc.rpc.streams.conversations import STRAYS
from natsrpc.rpc.streams.early import SPARE
from natsrpc.rpc.streams.window import START_ITEMS, WINDOW
from natsrpc.testing import Clock
from tests.core.harness import turns
from tests.rpc.scripted import block, message

from .linked import PEER, Side

NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


async def test_items_then_the_end() -> None:
    side = Side()
    side.receive(item_frame(1), b"10")
    side.receive(item_frame(2), b"20")
    side.receive(frame("end", 2))
    assert await side.read() == [10, 20]
    side.channel.close()
    assert not side.link.requests.streams
    assert not len(side.all)


async def test_the_newest_reply_subject_is_answered() -> None:
    side = Side(peer=b"")
    assert not side.channel.stop()
    side.receive(frame("ack", 0), reply=b"_R_.first")
    side.receive(frame("alive", 0), reply=b"_R_.second")
    side.receive(item_frame(1), b"1")
    assert side.channel.stop()
    assert side.link.sent[-1].raw_subject == b"_R_.second"


async def test_an_item_spelled_in_another_way_is_an_item() -> None:
    side = Side()
    side.receive(b"NATS/1.0\r\nnatsrpc-frame:  item  1\r\nX: y\r\n\r\n", b"1")
    side.receive(frame("end", 1))
    assert await side.read() == [1]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda side: side.receive(item_frame(3), b"1"),
        lambda side: side.receive(item_frame(1), b"1"),
        lambda side: side.receive(b"NATS/1.0\r\nNatsrpc-Frame: item x\r\n\r\n", b"1"),
        lambda side: side.receive(frame("alive", 5)),
        lambda side: side.receive(frame("end", 5)),
        lambda side: side.receive(frame("end", 0)),
        lambda side: side.receive(frame("alive", 1), b"a body"),
        lambda side: side.receive(frame("credit", 5)),
        lambda side: side.receive(frame("part", 2, 5) + b"", b"x" * (1 << 20)),
        lambda side: side.receive(frame("large", 5)),
        lambda side: side.receive(b"", b"a message that is no frame"),
        lambda side: side.receive(block(X="1"), b"a message that is no frame"),
        lambda side: side.receive(block(Natsrpc_Frame="credit many")),
    ],
)
async def test_what_does_not_belong_ends_it_after_what_came_before(break_it: Any) -> None:
    side = Side()
    side.receive(item_frame(1), b"7")
    break_it(side)
    got = []
    with pytest.raises(UnavailableError):
        async for item in side.channel.items(int):
            got.append(item)  # noqa: PERF401 — kept when the stream fails
    assert got == [7]
    assert side.stops == 1


async def test_frames_that_overtook_others_are_taken_in_their_order() -> None:
    side = Side()
    side.receive(frame("end", 5))
    side.receive(frame("alive", 5))
    side.receive(item_frame(4), b"45")
    side.receive(item_frame(2), b"20")
    side.receive(item_frame(5), b"6")
    side.receive(item_frame(1), b"10")
    side.receive(b"NATS/1.0\r\nnatsrpc-frame:  item  3\r\n\r\n", b"30")
    assert await side.read() == [10, 20, 30, 45, 6]
    assert side.stops == 0


async def test_parts_that_overtook_others_are_put_together_in_their_order() -> None:
    side = Side()
    side.receive(item_frame(3), b"3")
    side.receive(frame("part", 2, 1), b"2")
    side.receive(frame("end", 3))
    side.receive(frame("part", 1, 2), b"1")
    assert await side.read() == [123]


async def test_what_was_overtaken_is_lost_after_a_moment_of_which_each_gap_has_one() -> None:
    side = Side()
    side.receive(item_frame(2), b"2")
    side.receive(item_frame(4), b"4")
    side.tick(2)
    side.receive(item_frame(1), b"1")
    side.tick(2)
    assert side.stops == 0
    side.tick()
    assert side.stops == 1
    with pytest.raises(UnavailableError, match="item 3 was lost"):
        await side.read()


@pytest.mark.parametrize("word", ["alive", "end", "item"])
async def test_no_more_is_kept_than_the_credit_allows(word: str) -> None:
    side = Side()
    reader = side.channel.reader
    kept = 0
    while not side.stops:
        side.receive(frame(word, 2))
        kept += 1
    assert kept == reader.granted + SPARE + 1
    large = Side()
    large.receive(item_frame(2), b"x" * (large.channel.reader.allowed // 2 + 1))
    assert large.stops == 0
    large.receive(item_frame(3), b"x" * (large.channel.reader.allowed // 2))
    assert large.stops == 1
    far = Side()
    far.receive(item_frame(START_ITEMS + 2), b"")
    assert far.stops == 1


async def test_words_of_later_versions_are_passed_over() -> None:
    side = Side()
    side.receive(frame("dance", 5), b"with a body")
    side.receive(frame("credit", 1, 1))  # less than there is
    assert side.channel.writer.credit == 2
    assert side.stops == 0


async def test_a_reader_that_is_overrun_ends_it() -> None:
    side = Side()
    for number in range(1, START_ITEMS + 1):
        side.receive(item_frame(number), b"1")
    assert side.stops == 0
    side.receive(item_frame(START_ITEMS + 1), b"1")
    assert side.stops == 1
    other = Side()
    allowed = other.channel.reader.allowed
    other.receive(item_frame(1), b"x" * (allowed + 1))
    assert other.stops == 1


async def test_sending_waits_for_credit_in_items_and_in_bytes() -> None:
    side = Side(credit=(1, 300))
    await side.channel.send(b"1")
    waiting = asyncio.ensure_future(side.channel.send(b"2" * 600))
    await asyncio.sleep(0)
    assert len(side.link.sent) == 1
    side.receive(frame("credit", 5, 400))
    await asyncio.sleep(0)
    assert len(side.link.sent) == 1
    side.receive(frame("credit", 5, 4000))
    await waiting
    assert side.frames() == [("item", (1,)), ("item", (2,))]


async def test_sending_waits_for_a_congested_connection() -> None:
    side = Side()
    side.link.congested = True
    await side.channel.send(b"1")
    assert side.link.waits == 1
    await side.channel.send(b"2")
    assert side.channel.writer.sent == 2


async def test_what_does_not_fit_a_message_goes_in_parts_within_the_credit() -> None:
    side = Side(credit=(3, 1 << 20))
    sending = asyncio.ensure_future(side.channel.send(b"x" * 4000))
    await asyncio.sleep(0)
    assert [len(msg.data) for msg in side.link.sent] == [896] * 3
    assert side.frames() == [("part", (n, 4000 - 896 * n)) for n in (1, 2, 3)]
    side.receive(frame("credit", 9, 1 << 20))
    await sending
    assert side.frames() == [("part", (4, 416)), ("item", (5,))]
    assert side.link.flushes == 4  # others may write in between


async def test_parts_become_smaller_where_a_server_takes_less_after_a_reconnect() -> None:
    side = Side(credit=(1, 1 << 20))
    side.channel.writes = True
    sending = asyncio.ensure_future(side.channel.send(bytes(2000)))
    await turns()
    side.link.max_payload = 512
    side.receive(frame("credit", 9, 1 << 20), reply=PEER)
    await sending
    assert [len(msg.data) for msg in side.link.sent if msg.data] == [896, 384, 384, 336]


async def test_an_item_larger_than_the_credit_goes_in_parts() -> None:
    side = Side(credit=(9, 20_000))
    side.link.max_payload = 1 << 20
    sending = asyncio.ensure_future(side.channel.send(b"x" * 50_000))
    await asyncio.sleep(0)
    assert [len(msg.data) for msg in side.link.sent] == [20_000]
    side.receive(frame("credit", 9, 60_000))
    await sending
    assert [len(msg.data) for msg in side.link.sent] == [20_000, 30_000]


async def test_who_opened_no_stream_gets_plain_messages_and_so_many() -> None:
    side = Side(credit=(2, 1 << 20), frames=False)
    await side.channel.send(b"1")
    await side.channel.send(b"2")
    assert [(msg.data, msg.raw_headers) for msg in side.link.sent] == [(b"1", b""), (b"2", b"")]
    with pytest.raises(ReplyTooLargeError, match="open"):
        await side.channel.send(b"3")


async def test_parts_become_one_item_and_get_credit_at_once() -> None:
    side = Side()
    for number in range(1, 100):
        side.receive(frame("part", number, 100 - number), b"1")
    side.receive(item_frame(100), b"2")
    side.receive(item_frame(101), b"3")
    side.receive(frame("end", 101))
    first, *_ = side.frames()
    assert first is not None
    assert first[1][0] == 16 + WINDOW
    assert await side.read() == [int("1" * 99 + "2"), 3]
    side.channel.close()
    assert side.all.account.free == side.all.account.size
    assert side.all.window.free == side.all.window.size


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (frame("part", 2, 50), "add up"),
        (frame("end", 1), "should go on"),
    ],
)
async def test_parts_that_do_not_become_whole_end_it(second: bytes, error: str) -> None:
    side = Side()
    side.receive(frame("part", 1, 9), b"1")
    side.receive(second, b"2" if b"part" in second else b"")
    with pytest.raises(UnavailableError, match=error):
        await side.read()
    side.channel.close()
    assert side.all.account.free == side.all.account.size


async def test_a_value_larger_than_the_limit_ends_it() -> None:
    side = Side(limit=100)
    side.receive(frame("part", 1, 100), b"1")
    with pytest.raises(ReplyTooLargeError, match="101 bytes"):
        await side.read()
    assert side.stops == 1


@pytest.mark.parametrize("word", [NO_RESPONDERS, frame("gone", 0)])
async def test_a_peer_that_is_gone_wakes_reader_and_writer(word: bytes) -> None:
    side = Side(credit=(0, 0))
    reading = asyncio.ensure_future(side.read())
    writing = asyncio.ensure_future(side.channel.send(b"1"))
    await asyncio.sleep(0)
    side.receive(word)
    for waiting in (reading, writing):
        with pytest.raises(UnavailableError, match="gone"):
            await waiting
    assert side.stops == 1
    assert isinstance(side.why, UnavailableError)  # 499 would blame a caller that cancelled nothing
    with pytest.raises(UnavailableError):
        await side.channel.send(b"2")


async def test_gone_behind_the_end_is_no_matter() -> None:
    side = Side()
    side.receive(item_frame(1), b"1")
    side.receive(frame("end", 1))
    side.receive(frame("gone", 0))
    assert await side.read() == [1]


async def test_nobody_there_at_the_opening_is_told_so() -> None:
    side = Side(peer=b"", asks=True, absent=NoRespondersError("calc.add"))
    side.receive(NO_RESPONDERS)
    with pytest.raises(NoRespondersError):
        await side.read()


async def test_a_second_frame_lost_with_the_session_is_no_sign_of_single_answers() -> None:
    side = Side(peer=b"", asks=True)
    side.receive(frame("ack", 0), reply=PEER)
    side.link.tell(Reconnected())
    side.tick(4)
    assert side.channel.error is None
    side.receive(frame("gone", 0))
    with pytest.raises(UnavailableError, match="gone"):
        await side.read()


async def test_stop_is_heard_once_and_nothing_after_the_close() -> None:
    side = Side()
    side.receive(frame("stop", 0))
    side.receive(frame("stop", 0))
    assert side.stops == 1
    assert isinstance(side.why, CallCancelledError)
    other = Side()
    other.channel.close()
    other.channel.gone()
    assert other.stops == 0


# the clocks


async def test_silence_is_broken_once_a_second() -> None:
    side = Side()
    side.channel.reads = side.channel.writes = True
    side.tick()
    assert side.frames() == []
    side.tick()
    credit = side.channel.reader.credit
    assert credit[0] == WINDOW
    assert side.frames() == [("credit", credit), ("alive", (0,))]
    side.tick()
    assert side.frames() == []


async def test_a_worker_that_says_nothing_is_given_up() -> None:
    side = Side(peer=b"", asks=True, patience=Patience(opening=2.0))
    side.tick(4)
    assert side.stops == 0
    side.tick()
    with pytest.raises(UnavailableError, match="no worker answered within 2 s"):
        await side.read()


async def test_one_answer_and_no_second_is_told_within_a_second() -> None:
    side = Side(peer=b"", asks=True)
    side.receive(frame("ack", 0), reply=PEER)
    side.channel.reads = True
    side.tick(2)
    with pytest.raises(UnavailableError, match="response_type: stream"):
        await side.read()
    assert side.frames() == []  # anything said would get an answer, and look like a second one


async def test_a_peer_that_is_silent_is_given_up_and_any_frame_is_a_sign_of_life() -> None:
    side = Side(patience=Patience(presence=2.0))
    side.tick(4)
    side.receive(frame("alive", 0), reply=PEER)
    side.tick(4)
    assert side.stops == 0
    side.tick()
    assert side.stops == 1
    with pytest.raises(UnavailableError, match="nothing was heard"):
        await side.read()


async def test_a_quiet_stream_lives_as_long_as_both_ends_do() -> None:
    side = Side(patience=Patience(progress=2.0))
    side.channel.reads = True
    for _ in range(100):
        side.receive(frame("alive", 0), reply=PEER)
        side.tick()
    assert side.stops == 0


async def test_an_end_is_said_again_for_it_may_be_lost_with_a_connection() -> None:
    side = Side()
    side.channel.writes = True
    side.channel.tick()
    side.channel.end()
    assert side.frames().pop() == ("end", (0,))
    side.channel.reconnected()
    assert side.frames() == [("alive", (0,)), ("end", (0,))]
    side.tick(2)
    assert side.frames() == [("alive", (0,)), ("end", (0,))]


@pytest.mark.parametrize("what", ["value", "upload", "credit"])
async def test_being_there_is_not_enough_where_something_should_move(what: str) -> None:
    side = Side(credit=(0, 0), patience=Patience(progress=2.0))
    sending = None
    if what == "value":
        side.receive(frame("part", 1, 9), b"1")
    elif what == "upload":
        side.channel.uploads = side.channel.reads = True
    else:
        sending = asyncio.ensure_future(side.channel.send(b"1"))
        await asyncio.sleep(0)
    for _ in range(6):
        side.receive(frame("alive", 1 if what == "value" else 0), reply=PEER)
        side.tick()
    assert side.stops == 1
    with pytest.raises(UnavailableError, match="did not go on"):
        await (sending or side.read())


async def test_a_sender_is_not_blamed_for_what_has_no_room_while_others_go_on() -> None:
    side = Side(patience=Patience(progress=2.0))
    account = side.all.account
    full = account.enter(account.size, lambda: None)
    side.receive(frame("part", 1, 9), b"1")
    for _ in range(20):
        account.moves += 1
        side.receive(frame("alive", 1), reply=PEER)
        side.tick()
    assert side.stops == 0
    full.close()
    for _ in range(6):
        side.receive(frame("alive", 1), reply=PEER)
        side.tick()
    assert side.stops == 1


async def test_what_has_no_room_ends_where_nothing_goes_on() -> None:
    side = Side(patience=Patience(progress=2.0))
    side.all.account.enter(side.all.account.size, lambda: None)
    side.receive(frame("part", 1, 9), b"1")
    for _ in range(7):
        side.receive(frame("alive", 1), reply=PEER)
        side.tick()
    assert side.stops == 1


async def test_a_value_that_only_drips_does_not_come_in_time() -> None:
    side = Side(patience=Patience(progress=2.0))
    side.receive(frame("part", 1, 16384), b"x")
    for number in range(2, 9):
        side.receive(frame("part", number, 16385 - number), b"x")
        side.tick()
    assert side.stops == 0
    side.tick()
    assert side.stops == 1
    with pytest.raises(UnavailableError, match="16385 bytes did not come in time"):
        await side.read()


async def test_no_clock_runs_while_there_is_no_connection() -> None:
    side = Side(patience=Patience(presence=1.0))
    side.link.is_connected = False
    side.tick(50)
    assert side.stops == 0


# what happens to the connection


async def test_after_a_reconnect_the_peer_is_asked_at_once() -> None:
    side = Side()
    side.channel.reads = True
    side.link.tell(Reconnected())
    assert [found[0] for found in side.frames() if found] == ["credit"]
    side.receive(frame("gone", 0))
    with pytest.raises(UnavailableError):
        await side.read()


async def test_a_reconnect_before_the_first_word_ends_it() -> None:
    side = Side(peer=b"", asks=True)
    side.link.tell(Reconnected())
    with pytest.raises(UnavailableError, match="before the worker answered"):
        await side.read()


async def test_a_closed_connection_ends_it() -> None:
    side = Side()
    side.link.is_closed = True
    side.link.tell(Closed(None))
    with pytest.raises(ConnectionClosedError):
        await side.read()
    assert side.channel.stop()  # known, though it cannot be told


@pytest.mark.parametrize("by", ["subject", "reply"])
async def test_a_denied_opening_ends_it_at_once(by: str) -> None:
    side = Side(peer=b"", asks=True)
    side.channel.asked = b"calc.count"
    reply = side.channel.address.decode() if by == "reply" else ""
    subject = "calc.count" if by == "subject" else ""
    for other in ("calc.add", "_INBOX.other.-1"):
        side.link.tell(AsyncError(PermissionsError("denied", operation="publish", subject=other)))
    assert side.channel.error is None
    error = PermissionsError("denied", operation="publish", subject=subject, reply=reply)
    side.link.tell(AsyncError(error))
    with pytest.raises(PermissionsError) as told:
        await side.read()
    assert told.value is error
    assert side.stops == 1


async def test_a_denied_frame_ends_it_with_the_line_to_write() -> None:
    side = Side(peer=b"", asks=True)
    side.channel.asked = b"calc.count"
    side.receive(frame("ack", 0), reply=PEER)
    for subject in ("calc.count", PEER.decode()):  # another opening of the same was denied
        assert side.channel.error is None
        error = PermissionsError("denied", operation="publish", subject=subject)
        side.link.tell(AsyncError(error))
    with pytest.raises(PermissionsError, match=r"`allow_responses` .* higher `max`"):
        await side.read()
    assert side.stops == 1


async def test_a_worker_that_is_denied_a_frame_logs_the_line_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its handler, and whatever may reach its caller, hear 503: it is no fault of the handler."""
    side = Side()
    for _ in range(100):
        error = PermissionsError("denied", operation="publish", subject=PEER.decode())
        side.link.tell(AsyncError(error))
    with pytest.raises(UnavailableError, match=r"`allow_responses` .* higher `max`"):
        await side.read()
    assert isinstance(side.why, UnavailableError)
    assert len(caplog.records) == 1


async def test_a_stranger_may_copy_the_headers_of_the_opening() -> None:
    answers: list[bytes] = []
    side = Side(peer=b"", asks=True, on_reply=lambda msg: answers.append(msg.data))
    for data in (b"7", b""):
        side.receive(frame("open", 32, 1024), data)
    assert answers == [b"7", b""]


async def test_a_head_is_of_another_conversation() -> None:
    """What this one says, such as how many parts it has sent, would end the other."""
    heads: list[bytes] = []
    side = Side(on_reply=lambda msg: heads.append(msg.raw_reply))
    side.receive(frame("large", 5), reply=b"_INBOX.peer.-another")
    assert heads == [b"_INBOX.peer.-another"]
    assert side.channel.peer == PEER


async def test_frames_to_a_forgotten_address_are_answered_gone() -> None:
    side = Side()
    stray = side.link.requests.stray
    assert stray is not None
    stray(message(b"_INBOX.scripted.-old", b"", PEER, frame("alive", 3)))
    assert [(msg.raw_subject, msg.raw_reply) for msg in side.link.sent] == [(PEER, b"")]
    assert side.frames() == [("gone", (0,))]
    for quiet in (
        message(b"_INBOX.scripted.-old", b"1", b"", item_frame(1)),
        message(b"_INBOX.scripted.-old", b"", b"", frame("gone", 0)),
        message(b"_INBOX.scripted.-old", b"an answer", PEER, b""),
    ):
        stray(quiet)
    assert side.frames() == []
    assert side.all.strays == 4


async def test_strays_are_answered_at_a_rate_also_where_there_is_no_conversation() -> None:
    clock = Clock.install()
    side = Side()
    side.channel.close()
    stray = side.link.requests.stray
    assert stray is not None
    for answered in (STRAYS, 2 * STRAYS):
        for _ in range(STRAYS + 5):
            stray(message(b"_INBOX.scripted.-old", b"", PEER, frame("alive", 3)))
        assert len(side.link.sent) == answered
        await clock.advance(1.0)


async def test_ready_waits_for_the_first_credit_or_the_end() -> None:
    side = Side(credit=(0, 0))
    waiting = asyncio.ensure_future(side.channel.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    side.receive(frame("credit", 3, 100))
    await waiting
    await side.channel.ready()


async def test_nothing_is_said_to_a_peer_whose_address_is_not_known() -> None:
    side = Side(peer=b"")
    side.channel.open_credit()
    assert side.link.sent == []


async def test_a_plain_message_goes_to_who_waits_for_one() -> None:
    got: list[Msg] = []
    side = Side(on_reply=got.append)
    side.receive(b"", b"an answer")
    assert [msg.data for msg in got] == [b"an answer"]

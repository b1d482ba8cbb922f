"""Workers on a real server: what becomes of each message, and what stays where until then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Annotated

import pytest

import natsrpc
from natsrpc import Context, Delivery, Depends, Header, Reject, Retry, RetryLater
from natsrpc.core import Headers
from natsrpc.durable import read_letter, requeue
from natsrpc.errors import InvalidRequestError, JetStreamError, MessagesLostError
from natsrpc.jetstream import ConsumerConfig, JsMsg, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, no_leaks

from .desk import QUICK, Desk, Job


def block(seconds: float) -> None:
    """Keep the event loop from running, as a handler does that computes."""
    time.sleep(seconds)  # why: the loop is to be blocked for longer than the server waits


async def test_each_message_is_handled_once_and_acked(desk: Desk) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job) -> None:
        desk.done.append(job.number)

    await desk.put(1, 2, 3)
    async with desk.serving(service):
        await desk.put(4, 5)
        await desk.settled()
    assert sorted(desk.done) == [1, 2, 3, 4, 5]
    assert (await desk.info()).num_redelivered == 0


async def test_a_handler_is_given_what_a_subscriber_is_and_its_delivery(desk: Desk) -> None:
    service = desk.service()
    seen: list[object] = []

    def shout(x_tenant: Annotated[str, Header("X-Tenant")]) -> str:
        return x_tenant.upper()

    @service.middleware
    async def around(context: Context, call_next: natsrpc.Next[Context]) -> object:
        seen.append(context.subject)
        return await call_next(context)

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(
        job: Job,
        region: str,
        delivery: Delivery,
        client: natsrpc.Client,
        tenant: Annotated[str, Depends(shout)],
    ) -> None:
        assert delivery.client is client
        assert delivery.timestamp.tzinfo is not None
        await delivery.in_progress()
        seen.extend([job.number, region, tenant, delivery.attempt, delivery.stream_seq])
        seen.extend([delivery.subject, delivery.headers.get("X-Tenant"), delivery.stream])

    await desk.put(7, region="us", **{"X-Tenant": "acme"})
    async with desk.serving(service):
        await desk.settled()
    subject = f"{desk.name}.us.jobs"
    assert seen == [subject, 7, "us", "ACME", 1, 1, subject, "acme", desk.stream.name]


async def test_what_fails_is_tried_again_and_then_goes_to_the_dead_letters(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", retry=QUICK, dead_letter=desk.dead
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append((job.number, delivery.attempt))
        if job.number == 2 or delivery.attempt == 1:
            raise ValueError("the secret of the house")

    await desk.put(1, 2, **{"X-Tenant": "acme", "Nats-Msg-Id": "mine"})
    await desk.put(2, **{"X-Tenant": "acme", "Nats-Msg-Id": "mine too"})
    async with desk.serving(service):
        await desk.settled()
    assert Counter(desk.done) == {(1, 1): 1, (1, 2): 1, (2, 1): 1, (2, 2): 1, (2, 3): 1}
    (letter,) = await desk.letters()
    assert letter.data == b'{"number":2}'
    headers = letter.headers
    assert headers["X-Tenant"] == "acme"
    assert headers["Natsrpc-Dead-Reason"] == "ValueError"
    assert headers["Natsrpc-Dead-Stream"] == desk.stream.name
    assert headers["Natsrpc-Dead-Consumer"] == "billing"
    assert headers["Natsrpc-Dead-Subject"] == f"{desk.name}.eu.jobs"
    assert headers["Natsrpc-Dead-Seq"] == "2"
    assert headers["Natsrpc-Dead-Deliveries"] == "3"
    assert headers["Natsrpc-Dead-Service"] == "billing"
    assert headers["Natsrpc-Dead-Worker"] == "charge"
    assert headers["Natsrpc-Dead-Msg-Id"] == "mine too"
    error_id = headers["Natsrpc-Dead-Error-Id"]
    assert "secret" not in repr(dict(headers))
    told = [each for each in caplog.records if each.name == "natsrpc.durable"]
    assert [each.levelname for each in told] == ["WARNING", "WARNING", "WARNING", "ERROR"]
    assert error_id in told[-1].getMessage()
    assert all("the secret" in str(each.exc_info) for each in told)


async def test_a_message_may_be_rejected_asked_for_later_or_unreadable(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", retry=QUICK, dead_letter=desk.dead
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append((job.number, delivery.attempt, time.monotonic()))
        if job.number == 1:
            raise Reject("no such customer")
        if job.number == 2 and delivery.attempt == 1:
            raise RetryLater(0.3)
        if job.number == 3:
            raise InvalidRequestError("number 3 is never right")

    await desk.put(1, 2, 3)
    await desk.put_raw(b"nonsense")
    await desk.put_raw(b'{"number": "x"}')
    await desk.put_raw(b'{"number": 9}', **{"Content-Type": "application/x-unknown"})
    async with desk.serving(service):
        await desk.settled()
    assert sorted(each[:2] for each in desk.done) == [(1, 1), (2, 1), (2, 2), (3, 1)]
    later = [at for number, _, at in desk.done if number == 2]
    assert later[1] - later[0] >= 0.29
    reasons = {letter.headers["Natsrpc-Dead-Reason"] for letter in await desk.letters()}
    assert reasons == {
        "no such customer",
        "422 number 3 is never right",
        "400 the request's body cannot be decoded",
        "422 number: Input should be a valid integer, unable to parse string as an integer "
        "(billing 1.0.0)",
        "415 unknown content type 'application/x-unknown'",
    }
    assert {letter.headers["Natsrpc-Dead-Deliveries"] for letter in await desk.letters()} == {"1"}


async def test_later_again_and_again_ends_with_the_last_attempt(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", retry=QUICK, dead_letter=desk.dead
    )
    async def charge(job: Job) -> None:
        desk.done.append(job.number)
        raise RetryLater(0, "the bank is closed")

    await desk.put(1)
    async with desk.serving(service):
        await desk.settled()
    assert desk.done == [1, 1, 1]
    (letter,) = await desk.letters()
    assert letter.headers["Natsrpc-Dead-Reason"] == "the bank is closed"


async def test_what_killed_its_workers_is_given_up_before_it_runs(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event,
        stream=desk.stream.name,
        durable="billing",
        ack_wait=0.2,
        retry=QUICK,
        dead_letter=desk.dead,
    )
    async def charge(job: Job) -> None:
        desk.done.append(job.number)

    config = ConsumerConfig(durable_name="billing", ack_policy="explicit", ack_wait=0.2)
    consumer = await desk.stream.create_consumer(config)
    await desk.put(1)
    for _ in range(3):  # as workers do that die with it
        assert len(await consumer.fetch(1, timeout=5.0)) == 1
    await desk.put(2)
    async with desk.serving(service):
        await eventually(desk.letters)
        await desk.settled()
    assert desk.done == [2]
    (letter,) = await desk.letters()
    assert letter.headers["Natsrpc-Dead-Deliveries"] == "4"
    assert "delivered 4 times" in letter.headers["Natsrpc-Dead-Reason"]


async def test_without_dead_letters_what_is_given_up_is_told_as_lost(
    desk: Desk, jetstream_server: NatsServer
) -> None:
    service = desk.service()
    told: list[Exception] = []

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", retry=QUICK)
    async def charge(job: Job) -> None:
        raise Reject("no such customer")

    async def on_error(connection: object, subscription: object, error: Exception) -> None:
        told.append(error)

    await desk.put(1)
    async with (
        natsrpc.connect(jetstream_server.url, on_error=on_error) as worker,
        worker.serve(service) as server,
    ):
        await desk.settled()
        (one,) = server.services
        assert one.num_dropped == 1
        await eventually(lambda: told)
    assert isinstance(told[0], MessagesLostError)


async def test_a_dead_letter_that_cannot_be_stored_leaves_its_message_where_it_is(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    service, dead = desk.service(), f"late.{desk.name}"

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.5, dead_letter=dead
    )
    async def charge(job: Job) -> None:
        raise Reject("no such customer")

    letters = natsrpc.jetstream.StreamConfig(name=f"L{desk.name}", subjects=[dead])
    await desk.js.create_stream(letters)
    async with desk.serving(service):
        await desk.js.delete_stream(letters.name)
        await desk.put(1)
        await eventually(lambda: "cannot publish the dead letter" in caplog.text)
        assert (await desk.info()).num_ack_pending == 1
        stored = await desk.js.create_stream(letters)
        await desk.settled()
        letter = await stored.get_last_msg(dead)
    assert letter.headers["Natsrpc-Dead-Reason"] == "no such customer"
    await desk.js.delete_stream(letters.name)


@pytest.mark.parametrize("most", [None, 2000])
async def test_a_message_too_large_for_its_dead_letter_is_stored_cut(
    desk: Desk, most: int | None
) -> None:
    """Its headers come on top; by the stream of the dead letters, or by the server's own limit."""
    service = desk.service()
    dead, name = f"{desk.name}-dead", f"{desk.stream.name}DEAD"
    kept = await desk.js.create_stream(
        StreamConfig(name=name, subjects=[dead], storage="memory", max_msg_size=most or -1)
    )

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", dead_letter=dead)
    async def charge(job: Job) -> None: ...

    size = desk.client.connection.max_payload - 200 if most is None else 3000
    await desk.put_raw(b"x" * size, Mine="1")
    async with desk.serving(service):
        await desk.settled()
    stored = await kept.get_last_msg(dead)
    letter = read_letter(stored)
    assert letter is not None
    assert letter.cut == size
    assert letter.headers["Mine"] == "1"
    assert size - 3000 < len(letter.data) < size if most is None else letter.data == b""
    with pytest.raises(JetStreamError, match=f"of the {size} bytes"):
        await requeue(desk.js, kept, letter)
    await desk.js.delete_stream(name)


@pytest.mark.parametrize(
    ("headers", "kept", "left_out"),
    [
        (b"bad name: x\r\nGood: 1", {"Good": "1"}, 1),
        ("Xé: y\r\nX: 1\r\nX: 2".encode(), {"X": ["1", "2"]}, 1),
        (b"X: a\rb\r\nX: c", {"X": "c"}, 1),
        (b"X: \xff\xfe", {"X": "\udcff\udcfe"}, 0),
        (b"Nats-Msg-Id: a\rb", {}, 0),
        (b"Big: " + b"v" * 65_400 + b"\r\nX: 1", {}, 2),
        (b"Nats-Msg-Id: " + b"v" * 65_400 + b"\r\nX: 1", {"X": "1"}, 0),
    ],
    ids=lambda each: repr(each)[:24],
)
async def test_headers_that_no_letter_can_have_are_left_out_and_counted(
    desk: Desk, headers: bytes, kept: dict[str, str | list[str]], left_out: int
) -> None:
    """Publishers may send any bytes, and servers store them: such a message must not come for
    ever."""
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", dead_letter=desk.dead, ack_wait=60.0
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        raise Reject("no such customer")

    block = b"NATS/1.0\r\n" + headers + b"\r\n\r\n"
    desk.client.connection.link.send(f"{desk.name}.eu.jobs".encode(), b'{"number":1}', b"", block)
    async with desk.serving(service):
        await eventually(lambda: bool(desk.done))
        await desk.settled()
        (stored,) = await desk.letters()
    assert desk.done == [1]
    letter = read_letter(stored)
    assert letter is not None
    assert (letter.reason, letter.data, letter.cut) == ("no such customer", b'{"number":1}', 0)
    assert (letter.headers, letter.left_out) == (Headers(kept), left_out)
    if left_out:
        with pytest.raises(JetStreamError, match=r"of its \d headers: publish it anew"):
            await requeue(desk.js, desk.stream, letter)


@pytest.mark.parametrize("of", [Reject, InvalidRequestError])
async def test_a_reason_that_cannot_be_sent_is_sent_as_far_as_it_can(
    desk: Desk, of: type[Exception]
) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", dead_letter=desk.dead)
    async def charge(job: Job) -> None:
        desk.done.append(job.number)
        raise of("no such \ud800 customer\r\n\x00")

    await desk.put(1)
    async with desk.serving(service):
        await desk.settled()
        stats = await desk.client.connection.request("$SRV.STATS.billing")
    (letter,) = await desk.letters()
    assert letter.headers["Natsrpc-Dead-Reason"].endswith("no such ? customer")
    assert desk.done == [1]
    assert b"no such ? customer" in stats.data


async def test_a_dead_letter_is_stored_once_though_its_worker_died_behind_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = desk.service()
    terms = Counter[str]()
    term = JsMsg.term

    async def lost_at_first(msg: JsMsg, reason: str | None = None) -> None:
        terms[msg.subject] += 1
        if terms[msg.subject] > 1:
            await term(msg, reason)

    monkeypatch.setattr(JsMsg, "term", lost_at_first)

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.3, dead_letter=desk.dead
    )
    async def charge(job: Job) -> None:
        raise Reject("no such customer")

    await desk.put(1)
    async with desk.serving(service):
        await eventually(lambda: sum(terms.values()) == 2)
        await desk.settled()
    assert len(await desk.letters()) == 1


async def test_a_handler_whose_time_is_over_is_stopped_and_its_message_tried_again(
    desk: Desk,
) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", retry=QUICK, timeout=0.2
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        try:
            if delivery.attempt == 1:
                await asyncio.Event().wait()
        finally:
            desk.done.append(delivery.attempt)

    await desk.put(1)
    async with desk.serving(service) as server:
        await desk.settled()
        (worker,) = server.services[0].workers
        assert worker.answers.last_error == "504:it did not end within 0.2 s"
    assert desk.done == [1, 2]


@pytest.mark.parametrize("is_plain", [False, True])
async def test_a_handler_may_take_longer_than_the_server_waits(desk: Desk, is_plain: bool) -> None:
    service = desk.service()
    release = threading.Event()

    def plain(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        assert release.wait(30)

    async def coroutine(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        await eventually(release.is_set, 30)

    service.worker(desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.4)(
        plain if is_plain else coroutine
    )
    await desk.put(1)
    async with desk.serving(service):
        await eventually(lambda: desk.done)
        began = time.monotonic()
        await eventually(lambda: time.monotonic() - began > 1.3)
        assert (await desk.info()).num_ack_pending == 1
        release.set()
        await desk.settled()
    assert desk.done == [1]


async def test_a_message_that_comes_again_to_who_handles_it_runs_once(desk: Desk) -> None:
    """Its first delivery is stale when the loop was blocked; the second belongs to the same job."""
    service = desk.service()
    go_on = asyncio.Event()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.3)
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        block(0.6)
        await go_on.wait()

    await desk.put(1)
    async with desk.serving(service) as server:
        (worker,) = server.services[0].workers
        await eventually(lambda: worker.answers.figures()["redelivered"])
        assert worker.inflight == 1
        go_on.set()
        await desk.settled()
    assert desk.done == [1]


async def test_a_stale_failure_is_not_said(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The server has given the message to another by then: a nak would be taken for that one's."""
    service, retry = desk.service(), Retry(attempts=None)

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.3, retry=retry
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        if delivery.attempt == 1:
            block(0.6)
            raise ValueError("too late")

    await desk.put(1)
    async with desk.serving(service):
        await eventually(lambda: len(desk.done) == 2)
        await desk.settled()
    assert desk.done[0] == 1
    assert desk.done[1] > 1
    assert "given to another meanwhile" in caplog.text


async def test_a_handler_that_says_it_itself_is_believed(desk: Desk) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(msg: natsrpc.Msg) -> None:
        desk.done.append(msg.data)
        assert isinstance(msg, JsMsg)
        await msg.term("enough")

    await desk.put(1)
    async with desk.serving(service):
        await desk.settled()
    assert desk.done == [b'{"number":1}']


async def test_a_handler_that_gives_its_message_back_is_given_it_again(desk: Desk) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", ack_wait=60.0)
    async def charge(job: Job, msg: natsrpc.Msg, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        assert isinstance(msg, JsMsg)
        if delivery.attempt == 1:
            await msg.nak(0.05)

    await desk.put(1)
    async with desk.serving(service):
        await eventually(lambda: desk.done == [1, 2])
        await desk.settled()


async def test_what_is_left_to_be_done_after_a_message_is_done_when_it_is_acked(desk: Desk) -> None:
    service = desk.service()
    acked: list[int] = []

    async def later(number: int) -> None:
        await desk.client.connection.flush()
        acked.append((await desk.info()).num_ack_pending)

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job, context: Context) -> None:
        context.after_reply(later, job.number)

    await desk.put(1)
    async with desk.serving(service):
        await eventually(lambda: acked)
    assert acked == [0]


async def test_a_worker_leaves_nothing_behind(desk: Desk, jetstream_server: NatsServer) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job) -> None:
        desk.done.append(job.number)

    await desk.put(1)
    async with (
        no_leaks(),
        natsrpc.connect(jetstream_server.url) as worker,
        worker.serve(service),
    ):
        await desk.settled()

    async def nobody_pulls() -> bool:
        return (await desk.info()).num_waiting == 0

    await eventually(nobody_pulls)


async def test_a_removed_worker_takes_no_more(desk: Desk) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job) -> None:
        desk.done.append(job.number)

    async with desk.serving(service) as server:
        await desk.put(1)
        await desk.settled()
        await server.remove("charge")
        await desk.put(2)
        assert (await desk.info()).num_waiting == 0
        assert server.services[0].workers == []
    assert desk.done == [1]


async def test_a_worker_cannot_be_added_to_a_service_that_runs(desk: Desk) -> None:
    service = desk.service()

    @service.handler()
    async def ping() -> None: ...

    async with desk.serving(service):
        with pytest.raises(natsrpc.ConfigError, match="add it before that"):

            @service.worker(desk.event, stream=desk.stream.name)
            async def charge(job: Job) -> None: ...


async def test_attempts_without_a_limit_never_end(desk: Desk) -> None:
    service = desk.service()
    retry = Retry(attempts=None, wait=0.0, max_wait=0.0, jitter=0.0)

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", retry=retry)
    async def charge(job: Job, delivery: Delivery) -> None:
        if delivery.attempt < 12:
            raise ValueError("again")
        desk.done.append(delivery.attempt)

    await desk.put(1)
    async with desk.serving(service):
        await desk.settled()
    assert desk.done == [12]

"""Values that are due later: where they are kept, and who is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from natsrpc import Client, Service
from natsrpc.errors import ConfigError, JetStreamError, NoStreamResponseError
from natsrpc.jetstream import ConsumerConfig, JetStream, Stream, StreamConfig

Name = Callable[[], str]


def scheduling(name: str, **options: Any) -> StreamConfig:
    """A stream whose jobs are under its name in lower case, and their schedules beside."""
    low = name.lower()
    metadata = {"natsrpc.schedules": f"{low}-later.*"}
    given: dict[str, Any] = {
        "subjects": [f"{low}.>", f"{low}-later.*"],
        "storage": "memory",
        "allow_msg_schedules": True,
        "metadata": metadata,
    }
    return StreamConfig(name=name, **{**given, **options})


async def made(js: JetStream, level: int, config: StreamConfig) -> Stream | None:
    """The stream; None where the server has no schedules, which says so."""
    if level >= 2:
        return await js.create_stream(config)
    with pytest.raises(JetStreamError, match=r"allow_msg_schedules.* needs nats-server 2\.12"):
        await js.create_stream(config)
    return None


def job(stream: Stream) -> str:
    return f"{stream.name.lower()}.job"


async def waiting(stream: Stream) -> dict[str, int]:
    return dict((await stream.info(subjects_filter=">")).state.subjects)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
async def test_it_comes_when_it_is_due(
    client: Client, js: JetStream, name: Name, level: int, retention: str
) -> None:
    stream = await made(js, level, scheduling(name(), retention=retention))
    if stream is None:
        return
    consumer = await stream.create_consumer(
        ConsumerConfig(durable_name="c", filter_subject=job(stream))
    )
    began = time.time()
    ack = await client.enqueue(job(stream), {"n": 1}, delay=0.8, headers={"X": "1"})
    at = datetime.now(UTC) + timedelta(seconds=0.8)
    await client.enqueue(job(stream), {"n": 2}, at=at)
    assert (ack.stream, ack.seq) == (stream.name, 1)
    kept = await waiting(stream)
    assert len(kept) == 2 and job(stream) not in kept
    for number in (1, 2):
        msg = await consumer.next(timeout=10)
        assert msg.data == b'{"n":%d}' % number
        assert time.time() - began > 0.6
        await msg.ack()
    assert not any(subject != job(stream) for subject in await waiting(stream))
    assert msg.headers["Content-Type"] == "application/json"


async def test_the_same_id_is_due_once(
    client: Client, js: JetStream, name: Name, level: int
) -> None:
    later = await made(js, level, scheduling(name()))
    if later is None:
        return
    first = await client.enqueue(job(later), 1, delay=60, msg_id="a")
    again = await client.enqueue(job(later), 1, delay=60, msg_id="a")
    assert (again.seq, again.duplicate) == (first.seq, True)
    await client.enqueue(job(later), 1, delay=60, msg_id="b")
    await client.enqueue(job(later), 1, delay=60)
    await client.enqueue(job(later), 1, delay=60)
    assert sorted((await waiting(later)).values()) == [1, 1, 1, 1]


async def test_a_retry_beyond_the_window_takes_the_place_of_the_first(
    client: Client, js: JetStream, name: Name, level: int
) -> None:
    stream = await made(js, level, scheduling(name(), duplicate_window=0.1))
    if stream is None:
        return
    first = await client.enqueue(job(stream), 1, delay=60, msg_id="a")
    again = first
    while again.seq == first.seq:  # until the window is over
        again = await client.enqueue(job(stream), 1, delay=60, msg_id="a")
    assert len(await waiting(stream)) == 1


async def test_an_old_server_names_the_version(client: Client, stream: Stream, level: int) -> None:
    told = "takes no schedules" if level >= 2 else r"needs nats-server 2\.12 or later"
    with pytest.raises(JetStreamError, match=told):
        await client.enqueue(job(stream), 1, delay=5)
    assert (await stream.info()).state.messages == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retention": "interest"}, "has retention 'interest'"),
        ({"metadata": {}}, "declares no subject for schedules"),
        ({"metadata": {"natsrpc.schedules": "elsewhere.*"}}, "and no such subject"),
        ({"metadata": {"natsrpc.schedules": "later"}}, "ends in a wildcard"),
        ({"metadata": {"natsrpc.schedules": "*"}}, "ends in a wildcard"),
        ({"metadata": {"natsrpc.schedules": "a.*.>"}}, "ends in a wildcard"),
        ({"max_age": 10.0}, "keeps a message for 10 s, and this one is due in 20 s"),
    ],
)
async def test_a_stream_that_would_lose_it_is_refused(
    client: Client, js: JetStream, name: Name, level: int, options: Any, told: str
) -> None:
    stream = await made(js, level, scheduling(name(), **options))
    if stream is None:
        return
    with pytest.raises(JetStreamError, match=told):
        await client.enqueue(job(stream), 1, delay=20)
    assert (await stream.info()).state.messages == 0


async def test_a_worker_of_the_subjects_of_schedules_is_refused(
    client: Client, js: JetStream, name: Name, level: int
) -> None:
    config = scheduling(name())
    low = config.name.lower()
    stream = await made(js, level, config)
    if stream is None:
        return
    for subject, is_refused in ((f"{low}.job", False), (f"{low}-later.x", True)):
        service = Service(f"of{low}", version="1.0.0")

        @service.worker(subject, stream=config.name)
        async def work(job: int) -> None: ...

        if is_refused:
            with pytest.raises(ConfigError, match="jobs that are not due"):
                await client.serve(service)
        else:
            async with client.serve(service):
                pass


async def test_no_stream_is_told(client: Client) -> None:
    with pytest.raises(NoStreamResponseError, match="'nowhere'"):
        await client.enqueue("nowhere", 1, delay=5)


async def test_a_stream_that_changed_is_found_anew(
    client: Client, js: JetStream, name: Name, level: int
) -> None:
    later = await made(js, level, scheduling(name()))
    if later is None:
        return
    await client.enqueue(job(later), 1, delay=60)
    await js.delete_stream(later.name)
    with pytest.raises(NoStreamResponseError):
        await client.enqueue(job(later), 1, delay=60)
    low = later.name.lower()
    config = scheduling(
        later.name,
        subjects=[f"{low}.>", f"{low}-new.*"],
        metadata={"natsrpc.schedules": f"{low}-new.*"},
    )
    stream = await js.create_stream(config)
    await client.enqueue(job(stream), 1, delay=60)
    assert [subject.partition(".")[0] for subject in await waiting(stream)] == [f"{low}-new"]

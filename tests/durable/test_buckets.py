"""`OnceBucket`: one process begins a job, what is done stays done, what was cut off is told."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import natsrpc
from natsrpc import connect
from natsrpc.durable import OnceBucket
from natsrpc.errors import (
    ConfigError,
    JetStreamError,
    NatsTimeoutError,
    Reject,
    RetryLater,
)
from natsrpc.jetstream import JetStream, KeyValue, KeyValueConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .desk import Desk, Job

Name = Callable[[], str]


@pytest.fixture
async def kv(js: JetStream, name: Name) -> KeyValue:
    return await js.create_key_value(KeyValueConfig(bucket=name(), storage="memory"))


async def begin(store: OnceBucket, key: str = "order-1") -> bool:
    async with natsrpc.once(key, store) as is_first:
        return is_first


async def test_an_effect_is_done_once(kv: KeyValue) -> None:
    store, other = OnceBucket(kv), OnceBucket(kv)
    assert [await begin(store), await begin(store), await begin(other)] == [True, False, False]
    assert await begin(other, "order-2")


async def test_another_process_waits_its_turn(kv: KeyValue) -> None:
    store, other = OnceBucket(kv, lease=30.0), OnceBucket(kv, lease=30.0)
    async with natsrpc.once("a", store) as is_first:
        assert is_first
        with pytest.raises(RetryLater, match="another process is at 'a'") as caught:
            await begin(other, "a")
        assert 20 < caught.value.delay <= 30
    assert await begin(other, "a") is False


async def test_of_many_at_once_one_begins(kv: KeyValue) -> None:
    async def one() -> Any:
        try:
            async with natsrpc.once("a", OnceBucket(kv)) as is_first:
                if is_first:
                    await gate.wait()
                return is_first
        except RetryLater:
            waiting.append(1)
            if len(waiting) == 9:
                gate.set()
            return None

    waiting: list[int] = []
    gate = asyncio.Event()
    assert sorted(map(str, await asyncio.gather(*(one() for _ in range(10))))) == (
        ["None"] * 9 + ["True"]
    )


async def test_an_error_gives_the_job_back(kv: KeyValue) -> None:
    store = OnceBucket(kv)
    with pytest.raises(ValueError, match="no"):
        async with natsrpc.once("a", store) as is_first:
            assert is_first
            raise ValueError("no")
    assert await begin(store, "a")


async def test_what_was_cut_off_is_in_doubt_and_told(kv: KeyValue) -> None:
    store = OnceBucket(kv)
    began = asyncio.Event()

    async def work() -> None:
        async with natsrpc.once("a", store):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Reject, match="a process ended amid 'a'"):
        await begin(store, "a")
    assert await begin(OnceBucket(kv, in_doubt="again"), "a")
    assert await begin(store, "a") is False


async def test_a_worker_gives_what_is_in_doubt_to_the_dead_letters_and_waits_for_others(
    desk: Desk, kv: KeyValue
) -> None:
    store, service = OnceBucket(kv, lease=1.0), desk.service()
    doubtful, running = await store.claim("1"), await store.claim("2")
    assert doubtful is not None and running is not None
    await doubtful.doubtful()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", dead_letter=desk.dead)
    async def work(job: Job) -> None:
        async with natsrpc.once(str(job.number), OnceBucket(kv, lease=1.0)) as is_first:
            desk.done.append((job.number, is_first))

    async with desk.serving(service):
        await desk.put(1, 2, 3)
        await eventually(lambda: desk.done == [(3, True)])
        await running.done()
        await desk.settled()
    assert desk.done == [(3, True), (2, False)]  # once its holder was done
    (letter,) = await desk.letters()
    assert json.loads(letter.data) == {"number": 1}
    assert any("a process ended amid '1'" in text for text in letter.headers.values())


async def test_people_settle_what_is_in_doubt(kv: KeyValue) -> None:
    store = OnceBucket(kv)
    for key in ("a", "b"):
        claim = await store.claim(key)
        assert claim is not None
        await claim.doubtful()
    await store.forget("a")
    await store.settle("b")
    assert await begin(store, "a") is True
    assert await begin(store, "b") is False


PROGRAM = """
import asyncio, sys
import natsrpc
from natsrpc.durable import OnceBucket
from natsrpc.jetstream import JetStream

async def main() -> None:
    url, bucket = sys.argv[1:]
    async with natsrpc.connect(url) as client:
        kv = await JetStream(client.connection).key_value(bucket)
        async with natsrpc.once("a", OnceBucket(kv, lease=1.0)) as is_first:
            print("began", is_first, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_that_was_killed_leaves_its_job_in_doubt(
    kv: KeyValue, jetstream_server: NatsServer
) -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), jetstream_server.url, kv.bucket]
    child = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert (await child.stdout.readline()).split() == [b"began", b"True"]
    store, delays = OnceBucket(kv, lease=1.0), []
    async with kv.watch("k.a", updates_only=True) as watcher, asyncio.timeout(30):
        await anext(aiter(watcher))  # it says that it is alive
    with pytest.raises(RetryLater):
        await begin(store, "a")
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    while True:
        try:
            await begin(store, "a")
        except RetryLater as later:
            delays.append(later.delay)
            await asyncio.sleep(later.delay)  # why: as a worker's next delivery comes
        except Reject as reject:
            assert "amid 'a'" in reject.reason
            break
    assert 1 <= len(delays) <= 3
    assert max(delays) <= 1.0


async def test_a_claim_lives_as_long_as_its_holder(kv: KeyValue) -> None:
    store = OnceBucket(kv, lease=1.0)
    async with natsrpc.once("a", store), kv.watch("k.a", updates_only=True) as watcher:
        async with asyncio.timeout(30):
            for _ in range(4):  # so long that it would be over
                await anext(aiter(watcher))
        with pytest.raises(RetryLater):
            await begin(OnceBucket(kv, lease=1.0), "a")
    assert await begin(store, "a") is False


async def test_a_holder_that_lost_its_job_is_told(kv: KeyValue) -> None:
    store, taken = OnceBucket(kv), []
    with pytest.raises(JetStreamError, match="taken over by another process"):
        async with natsrpc.once("a", store):
            await store.forget("a")
            claim = await store.claim("a")
            assert claim is not None
            taken.append(claim)
    await taken[0].failed()


async def test_an_answer_that_was_lost_is_looked_for(
    kv: KeyValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, lost = OnceBucket(kv), []

    def losing(name: str) -> None:
        real = getattr(kv, name)

        async def write(*args: Any, **options: Any) -> int:
            revision = await real(*args, **options)
            if name not in lost:
                lost.append(name)
                raise NatsTimeoutError("no ack")
            return int(revision)

        monkeypatch.setattr(kv, name, write)

    losing("create")
    losing("update")
    assert await begin(store, "a") is True
    assert lost == ["create", "update"]
    assert await begin(store, "a") is False


async def test_a_claim_that_was_cancelled_is_given_back(
    kv: KeyValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = OnceBucket(kv), kv.create
    created = asyncio.Event()

    async def create(*args: Any, **options: Any) -> int:
        await real(*args, **options)
        created.set()
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(kv, "create", create)
    task = asyncio.ensure_future(begin(store, "a"))
    await created.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    assert await begin(store, "a") is True


async def test_what_cannot_be_noted_is_logged(
    kv: KeyValue, js: JetStream, caplog: pytest.LogCaptureFixture
) -> None:
    claims = [await OnceBucket(kv).claim(key) for key in ("a", "b")]
    await js.delete_key_value(kv.bucket)
    with caplog.at_level(logging.WARNING, logger="natsrpc.durable"):
        for claim in claims:
            assert claim is not None
        await claims[0].failed()  # type: ignore[union-attr]  # looked at above
        await claims[1].doubtful()  # type: ignore[union-attr]
    texts = [each.message for each in caplog.records if each.name == "natsrpc.durable"]
    assert ["given back" in texts[0], "cannot be noted" in texts[1]] == [True, True]


@pytest.mark.parametrize(
    "key", ["order-1", "a.b", "a..b", "über", "with blank", "x" * 500, ".", "*", "a/b=c"]
)
async def test_any_text_is_a_key(kv: KeyValue, key: str) -> None:
    store = OnceBucket(kv)
    assert await begin(store, key) is True
    assert await begin(store, key) is False
    assert len(await kv.keys()) == 1


async def test_a_bucket_of_something_else_is_refused(kv: KeyValue) -> None:
    for value in (b"5", b"{}", b"\xff", b'{"state":"lost","holder":"x"}'):
        await kv.put("k.a", value)
        with pytest.raises(JetStreamError, match="holds something else"):
            await begin(OnceBucket(kv), "a")


async def test_an_argument_that_cannot_be_is_refused(kv: KeyValue) -> None:
    leases = [0.5, "x", True, math.nan, math.inf, 1e9]
    bad: list[dict[str, Any]] = [{"kv": 5}, {"in_doubt": "skip"}, *({"lease": x} for x in leases)]
    for options in bad:
        with pytest.raises(ConfigError):
            OnceBucket(**{"kv": kv, **options})
    for key in ("", "\ud800", 5):
        for use in (OnceBucket.claim, OnceBucket.forget, OnceBucket.settle):
            with pytest.raises(ConfigError, match="the key of once is"):
                await use(OnceBucket(kv), key)  # type: ignore[arg-type]  # it is to be refused


async def test_no_task_is_left(kv: KeyValue, jetstream_server: NatsServer) -> None:
    async with connect(jetstream_server.url):
        before = asyncio.all_tasks()
        store = OnceBucket(kv)
        assert await begin(store, "a")
        with pytest.raises(ValueError, match="no"):
            async with natsrpc.once("b", store):
                raise ValueError("no")
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

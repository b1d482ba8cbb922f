"""The consumers of workers: made, brought up to date or refused when a service starts."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

import natsrpc
from natsrpc import ConfigError, Service
from natsrpc.errors import JetStreamNotEnabledError, StreamNotFoundError
from natsrpc.jetstream import ConsumerConfig, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .desk import Desk, Job


def billing(desk: Desk, **options: object) -> Service:
    service = desk.service()

    @service.worker(desk.event, **{"stream": desk.stream.name, "durable": "billing", **options})  # type: ignore[call-overload,untyped-decorator]
    async def charge(job: Job) -> None:
        desk.done.append(job.number)

    return service


async def test_a_consumer_is_made_as_declared(desk: Desk) -> None:
    async with desk.serving(billing(desk, ack_wait=12.5)):
        config = (await desk.info()).config
    assert config.durable_name == "billing"
    assert config.filters == (f"{desk.name}.*.jobs",)
    assert config.ack_policy == "explicit"
    assert config.ack_wait == 12.5
    assert config.max_deliver == -1  # the worker gives up, not the server
    assert config.max_ack_pending == -1
    assert config.description == "worker charge of service billing"


async def test_its_name_is_the_service_s_and_the_worker_s_where_none_is_given(desk: Desk) -> None:
    async with desk.serving(billing(desk, durable=None, name="charging")):
        assert [each async for each in desk.stream.consumer_names()] == ["billing-charging"]


async def test_what_can_be_changed_is_changed_and_told(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "natsrpc.durable")
    old = ConsumerConfig(
        durable_name="billing",
        ack_wait=5.0,
        max_deliver=7,
        backoff=[1.0, 2.0],
        headers_only=True,
        metadata={"owner": "us"},
        filter_subjects=[f"{desk.name}.a", f"{desk.name}.b"],
    )
    await desk.stream.create_consumer(old)
    async with desk.serving(billing(desk)):
        config = (await desk.info()).config
    assert config.ack_wait == 30.0
    assert config.max_deliver == -1
    assert not config.backoff
    assert not config.headers_only
    assert config.filters == (f"{desk.name}.*.jobs",)
    assert config.metadata is not None
    assert config.metadata["owner"] == "us"  # what the declaration says nothing of stays
    (line,) = [each.getMessage() for each in caplog.records if "updated" in each.getMessage()]
    assert "max_deliver: 7 -> -1" in line
    assert "filter_subject" in line
    assert "backoff: [1.0, 2.0] -> None" in line


async def test_what_cannot_be_changed_is_refused_with_the_way_out(desk: Desk) -> None:
    await desk.stream.create_consumer(ConsumerConfig(durable_name="billing", ack_policy="none"))
    with pytest.raises(ConfigError) as refused:
        async with desk.serving(billing(desk)):
            pytest.fail("served")
    assert str(refused.value) == (
        "worker 'charge' of service 'billing': consumer 'billing' has ack_policy='none', a worker "
        "needs 'explicit', and the server does not change that: name another `durable`, or delete "
        "the consumer"
    )


async def test_a_consumer_of_another_service_is_not_taken_from_it(desk: Desk) -> None:
    """It would be given the jobs of that one, and nobody those that come for it later."""
    other = desk.service("other")

    @other.worker(f"{desk.name}.other", stream=desk.stream.name, durable="billing")
    async def mail(job: Job) -> None: ...

    async with desk.serving(billing(desk)):
        with pytest.raises(ConfigError) as refused:
            async with desk.serving(other):
                pytest.fail("served")
        assert str(refused.value) == (
            f"worker 'mail' of service 'other': consumer 'billing' of stream {desk.stream.name!r} "
            f"is that of worker charge of service billing, which handles {desk.name}.*.jobs by it: "
            "name another `durable`, or delete the consumer if that service is gone"
        )
        await desk.put(1)
        await eventually(lambda: desk.done == [1])


@pytest.mark.parametrize("subject", ["{name}.*.jobs", "{name}.other"])
async def test_a_consumer_goes_on_with_what_its_owner_declares(desk: Desk, subject: str) -> None:
    """Another service may share it while both handle the same; the same one may change it."""
    async with desk.serving(billing(desk)):
        pass
    subject = subject.format(name=desk.name)
    service = desk.service("other" if subject.endswith("jobs") else "billing")

    @service.worker(subject, stream=desk.stream.name, durable="billing")
    async def mail(job: Job) -> None: ...

    async with desk.serving(service):
        assert (await desk.info()).config.filters == (subject,)


async def test_a_consumer_that_pushes_is_refused(desk: Desk) -> None:
    pushes = ConsumerConfig(durable_name="billing", deliver_subject="somewhere")
    await desk.stream.create_consumer(pushes)
    with pytest.raises(ConfigError, match="deliver_subject='somewhere'"):
        async with desk.serving(billing(desk)):
            pytest.fail("served")


async def test_what_the_server_refuses_to_change_names_both_values(
    desk: Desk, name: Callable[[], str]
) -> None:
    queue = await desk.js.create_stream(
        StreamConfig(name=name(), subjects=[f"q{desk.name}.>"], retention="workqueue")
    )
    for durable, subject in (("billing", "a"), ("other", "b")):
        await queue.create_consumer(
            ConsumerConfig(durable_name=durable, filter_subject=f"q{desk.name}.{subject}")
        )
    service = desk.service()

    @service.worker(f"q{desk.name}.b", stream=queue.name, durable="billing")
    async def charge(job: Job) -> None: ...

    told = f"filter_subject: 'q{desk.name}.a' -> 'q{desk.name}.b'"
    with pytest.raises(ConfigError, match="name another `durable`") as refused:
        async with desk.serving(service):
            pytest.fail("served")
    assert told in str(refused.value)
    await desk.js.delete_stream(queue.name)


async def test_a_consumer_that_goes_by_itself_is_warned_of(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    config = ConsumerConfig(durable_name="billing", inactive_threshold=900.0)
    await desk.stream.create_consumer(config)
    async with desk.serving(billing(desk)):
        pass
    assert "inactive_threshold=900" in caplog.text


async def test_a_stream_that_is_not_there_is_told_before_anything_is_served(desk: Desk) -> None:
    service = billing(desk, stream="NOWHERE")
    service.handler("ping")(_ping)
    with pytest.raises(StreamNotFoundError, match=r"'NOWHERE', which does not exist.*streams=\["):
        async with desk.serving(service):
            pytest.fail("served")
    assert await natsrpc.discovery.ping(desk.client.connection, "billing", timeout=0.1) == []


async def _ping() -> None: ...


async def test_a_server_without_jetstream_is_told_at_once(nats_server: NatsServer) -> None:
    service = Service("billing", version="1.0.0")

    @service.worker("jobs", stream="JOBS")
    async def charge(job: Job) -> None: ...

    async with natsrpc.connect(nats_server.url) as client:
        with pytest.raises(JetStreamNotEnabledError):
            async with client.serve(service):
                pytest.fail("served")


async def test_dead_letters_that_no_stream_stores_are_refused(desk: Desk) -> None:
    with pytest.raises(StreamNotFoundError, match=f"'no.{desk.name}', which no stream stores"):
        async with desk.serving(billing(desk, dead_letter=f"no.{desk.name}")):
            pytest.fail("served")


async def test_a_subject_that_the_stream_never_has_is_refused(desk: Desk) -> None:
    service = desk.service()

    @service.worker("elsewhere.jobs", stream=desk.stream.name)
    async def charge(job: Job) -> None: ...

    with pytest.raises(ConfigError, match=f"'elsewhere.jobs', which stream '{desk.stream.name}'"):
        async with desk.serving(service):
            pytest.fail("served")


async def test_what_a_mirror_brings_is_not_known(desk: Desk, name: Callable[[], str]) -> None:
    mirror = await desk.js.create_stream(
        StreamConfig(name=name(), mirror=natsrpc.jetstream.StreamSource(name=desk.stream.name))
    )
    await desk.put(1, 2)
    async with desk.serving(billing(desk, stream=mirror.name)):
        await eventually(lambda: sorted(desk.done) == [1, 2])
    await desk.js.delete_stream(mirror.name)

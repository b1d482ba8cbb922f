"""Baggage of a caller: in its handlers, and in all that they call and publish."""

from __future__ import annotations

from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider

import natsrpc
from natsrpc.observe import otel
from natsrpc.testing import NatsServer, serve_in_memory

provider = TracerProvider()


def tenant() -> str:
    return str(baggage.get_baggage("tenant"))


async def with_tenant(client: natsrpc.Client, target: str) -> str:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        return await client.call(target, returns=str)
    finally:
        context.detach(token)


async def test_handlers_in_tasks_and_in_threads_have_their_caller_s_baggage() -> None:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("task")
    async def in_task(request: natsrpc.Context) -> str:
        return f"{tenant()} {request.headers.get('baggage')}"

    @service.handler("thread")
    def in_thread() -> str:
        return tenant()

    otel.instrument(service, tracer_provider=provider)
    async with service.test() as client:
        otel.instrument(client, tracer_provider=provider)
        assert await with_tenant(client, "task") == "acme tenant=acme"
        assert await with_tenant(client, "thread") == "acme"
        assert await client.call("thread", returns=str) == "None"


async def test_baggage_goes_on_to_the_next_hop_and_with_events() -> None:
    inner = natsrpc.Service("inner", version="1.0.0")
    outer = natsrpc.Service("outer", version="1.0.0")
    heard: list[str] = []

    @inner.handler("inner")
    async def read(client: natsrpc.Client) -> str:
        await client.publish("read")
        return tenant()

    @inner.subscriber("read")
    async def note() -> None:
        heard.append(tenant())

    @inner.subscriber("read", name="threaded")
    def note_in_a_thread() -> None:
        heard.append(tenant())

    @outer.handler("outer")
    async def ask(client: natsrpc.Client) -> str:
        return await client.call("inner", returns=str)

    otel.instrument(inner, outer, tracer_provider=provider)
    async with serve_in_memory(inner, outer) as client:
        otel.instrument(client, tracer_provider=provider)
        assert await with_tenant(client, "outer") == "acme"
        assert await client.settled() == []
    assert heard == ["acme", "acme"]


async def test_baggage_crosses_a_real_server() -> None:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("read")
    async def read() -> str:
        return tenant()

    otel.instrument(service, tracer_provider=provider)
    async with (
        NatsServer() as server,
        natsrpc.connect(server.url) as serving,
        serving.serve(service),
        natsrpc.connect(server.url) as client,
    ):
        otel.instrument(client, tracer_provider=provider)
        assert await with_tenant(client, "read") == "acme"

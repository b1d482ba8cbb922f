"""Opening and using connections and clients, services and errors."""

from __future__ import annotations

from typing import Unpack, assert_type

import natsrpc
from natsrpc import Client, Connection, Encoded, Msg, RpcError, Server, Service, Subscription, core
from natsrpc.core import ConnectOptions, Options
from natsrpc.testing import Broker, serve_in_memory

from .models import Answer, Question, service


async def core_connections() -> None:
    connection = await core.connect("nats://127.0.0.1:4222", name="me")
    assert_type(connection, Connection)
    async with core.connect(["nats://a", "nats://b"]) as entered:
        assert_type(entered, Connection)
    assert_type(await connection.request("a", b"x"), Msg)
    async for msg in await connection.subscribe("a"):
        assert_type(msg, Msg)
        assert_type(msg.data, bytes)
        assert_type(msg.subject, str)
    async for msg in connection.request_many("a", timeout=1.0):
        assert_type(msg, Msg)


async def clients() -> None:
    client = await natsrpc.connect("nats://127.0.0.1:4222", codec="msgpack")
    assert_type(client, Client)
    assert_type(client.connection, Connection)
    async with natsrpc.connect() as entered:
        assert_type(entered, Client)
        async with entered.serve(service) as server:
            assert_type(server, Server)
        assert_type(await entered.serve(service), Server)


def on_error(nc: Connection, sub: Subscription | None, error: Exception) -> None:
    print(nc.status, sub, error)


async def on_disconnect(nc: Connection, error: Exception | None) -> None:
    print(nc.status, error)


async def options(broker: Broker) -> None:
    await core.connect(name="me", tls=True, on_error=on_error, on_disconnect=on_disconnect)
    await natsrpc.connect(on_error=lambda nc, sub, error: print(nc.status, sub, error))
    await natsrpc.connect(options=Options(user="ada", password="engine"))
    mine: ConnectOptions = {"name": "me", "credentials": "me.creds"}
    await natsrpc.connect(["nats://a", "nats://b"], codec="msgpack", **mine)
    await natsrpc.connect("nats://memory:4222", **broker.options(name="me"))
    assert_type(await broker.connect(name="me"), Connection)
    async with serve_in_memory(service, broker=broker, codec="msgpack", name="me") as client:
        assert_type(client, Client)
    async with service.test(broker=broker, codec="msgpack", name="me") as client:
        assert_type(client, Client)
    natsrpc.run(service, servers="nats://a", drain_timeout=5.0, name="me")


def passes_options_on(**options: Unpack[ConnectOptions]) -> core.Opening[Connection]:
    return core.connect("nats://a", **options)


async def encoded(connection: Connection) -> None:
    typed = Encoded(connection, "json")
    assert_type(await typed.request("help", Question(topic="x"), Answer), Answer)


async def refused(client: Client, connection: Connection) -> None:
    core.connect(4222)  # E: arg-type, reportArgumentType
    natsrpc.connect(codec=1)  # E: arg-type, reportArgumentType
    await connection.publish("a", "text")  # E: arg-type, reportArgumentType
    await connection.request(b"a")  # E: arg-type, reportArgumentType
    await connection.subscribe("a", queue="q")  # E: call-arg, reportCallIssue
    core.connect(reconect_wait=1.0)  # E: call-arg, reportCallIssue
    core.connect(reconnect_wait="soon")  # E: arg-type, reportArgumentType
    core.connect(on_error=on_disconnect)  # E: arg-type, reportArgumentType
    natsrpc.connect(nmae="me")  # E: call-arg, reportCallIssue
    natsrpc.connect(on_close=3)  # E: arg-type, reportArgumentType
    natsrpc.run(service, timeout=3)  # E: call-arg, reportCallIssue
    service.test(nmae="me")  # E: call-arg, reportCallIssue
    service.test(broker=3)  # E: arg-type, reportArgumentType
    serve_in_memory(service, nmae="me")  # E: call-arg, reportCallIssue
    Broker().options(nmae="me")  # E: call-arg, reportCallIssue
    Options(nmae="me")  # E: call-arg, reportCallIssue
    client.serve(Answer)  # E: arg-type, reportArgumentType
    Service("a")  # E: call-arg, reportCallIssue
    service.handler("a", errors=(ValueError,))  # E: arg-type, reportArgumentType
    service.handler("a", max_concurrency="many")  # E: arg-type, reportArgumentType


class OutOfStock(RpcError, code=409):  # noqa: N818 - spelled as users spell it
    sku: str


def errors(error: OutOfStock) -> None:
    assert_type(error.sku, str)
    assert_type(error.code, int)
    assert_type(error.message, str)
    print(error.skew)  # E: attr-defined, reportAttributeAccessIssue

"""grpc.aio. The service listens itself, without a nats-server between, and protobuf takes the place
of pydantic."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from importlib.metadata import version

import grpc
import grpc.aio

from benchmarks.adapter import Call
from benchmarks.models import ITEMS, ORDER

pb, services = grpc.protos_and_services("benchmarks/peers/orders.proto")


class Orders(services.OrdersServicer):  # type: ignore[misc, name-defined]
    async def Place(self, order: pb.Order, context: grpc.aio.ServicerContext) -> pb.Receipt:  # noqa: N802
        return pb.Receipt(
            id=order.id,
            text=f"thank you, {order.customer}",
            total=order.amount * 1.19,
            accepted=True,
        )

    async def Follow(  # noqa: N802
        self, order: pb.Order, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.Receipt]:
        for _ in range(ITEMS):
            yield await self.Place(order, context)

    async def Echo(self, blob: pb.Blob, context: grpc.aio.ServicerContext) -> pb.Blob:  # noqa: N802
        return blob


class Peer:
    version = version("grpcio")

    async def connect(self, url: str) -> None:
        self.address = f"127.0.0.1:{os.environ['BENCH_PORT']}"
        self.server: grpc.aio.Server | None = None
        self.channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        if self.channel is not None:
            await self.channel.close()
        if self.server is not None:
            await self.server.stop(None)

    async def serve_typed(self, subject: str) -> None:
        self.server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        services.add_OrdersServicer_to_server(Orders(), self.server)
        self.server.add_insecure_port(self.address)
        await self.server.start()

    serve_echo = serve_stream = serve_typed

    def _stub(self) -> services.OrdersStub:
        if self.channel is None:
            options = [("grpc.max_receive_message_length", -1)]
            self.channel = grpc.aio.insecure_channel(self.address, options)
        return services.OrdersStub(self.channel)

    def echo(self, subject: str, data: bytes) -> Call:
        stub = self._stub()

        async def call() -> bytes:
            blob = await stub.Echo(pb.Blob(data=data), timeout=60.0)
            return bytes(blob.data)

        return call

    def typed(self, subject: str) -> Call:
        stub = self._stub()

        async def call() -> object:
            return await stub.Place(_order(), timeout=60.0)

        return call

    def stream(self, subject: str) -> Call:
        stub = self._stub()

        async def read() -> int:
            count = 0
            async for _ in stub.Follow(_order()):
                count += 1
            assert count == ITEMS
            return count

        return read


def _order() -> pb.Order:
    return pb.Order(id=ORDER.id, customer=ORDER.customer, items=ORDER.items, amount=ORDER.amount)

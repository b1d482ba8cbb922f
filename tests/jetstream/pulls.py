"""What a test waits for before it takes a stream away under a reader."""

from __future__ import annotations

from natsrpc.jetstream import JetStream
from tests.core.harness import eventually


async def until_asked(js: JetStream, name: str) -> None:
    """Wait until a pull stands at a consumer of the stream.

    A server does not keep the order of a pull and of what ends its consumer, also where both came
    by one connection: a pull that is still in the consumer's queue then is dropped without a word
    (nats-server 2.15, one of forty). The reader is told by the heartbeats that do not come.
    """
    stream = await js.stream(name)

    async def is_asked() -> bool:
        return sum([consumer.num_waiting async for consumer in stream.consumers()]) > 0

    await eventually(is_asked)

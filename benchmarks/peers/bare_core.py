"""No client but a floor: the wire work of each JetStream job on bare `natsrpc.core`, without any
checks, heartbeats and reconnects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from importlib.metadata import version

from benchmarks.models import BUCKET, CONSUMER, OBJECT, STREAM, SUBJECT, key
from natsrpc import core

_CHUNK = 128 * 1024
_NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}".encode()
_VALUES = f"$KV.{BUCKET}."
_OBJECTS = f"$O.{BUCKET}."


class Peer:
    version = version("natsrpc")

    async def connect(self, url: str) -> None:
        self.nc = await core.connect(url)

    async def close(self) -> None:
        await self.nc.close()

    async def _store(self, subject: str, data: bytes) -> int:
        answer = json.loads((await self.nc.request(subject, data, timeout=60.0)).data)
        assert "error" not in answer, answer
        seq: int = answer["seq"]
        return seq

    async def publish_acked(self, count: int, data: bytes) -> None:
        for _ in range(count):
            await self._store(SUBJECT, data)

    async def publish_pipelined(self, count: int, data: bytes) -> None:
        link, loop = self.nc.link, asyncio.get_running_loop()
        inbox, subject = self.nc.new_inbox(), SUBJECT.encode()
        waiting: dict[bytes, asyncio.Future[int]] = {}
        room: asyncio.Future[None] | None = None

        def take(msg: core.Msg) -> None:
            nonlocal room
            waiting.pop(msg.raw_subject).set_result(json.loads(msg.data)["seq"])
            if room is not None and len(waiting) < 2000:
                room.set_result(None)
                room = None

        acks, subscription = [], link.attach(inbox + ".*", take)
        for number in range(count):
            if len(waiting) >= 4000:
                room = loop.create_future()
                await room
            reply = b"%b.%x" % (inbox.encode(), number)
            waiting[reply] = ack = loop.create_future()
            acks.append(ack)
            link.send(subject, data, reply)
            if link.congested:
                await link.writable()
        await asyncio.gather(*acks)
        link.detach(subscription)

    async def fetch_acked(self, count: int, data: bytes) -> None:
        await self._pull(count, 100, 0)

    async def consume_acked(self, count: int, data: bytes) -> None:
        await self._pull(count, 500, 250)

    async def _pull(self, count: int, batch: int, threshold: int) -> None:
        """Pull up to `batch` whenever no more than `threshold` are owed; ack each."""
        link, loop, inbox = self.nc.link, asyncio.get_running_loop(), self.nc.new_inbox()
        queue: list[core.Msg] = []
        waiter: asyncio.Future[None] | None = None
        owed = 0

        def take(msg: core.Msg) -> None:
            nonlocal waiter, owed
            if not msg.raw_reply and msg.status is not None:
                return
            queue.append(msg)
            owed -= 1
            if waiter is not None:
                waiter.set_result(None)
                waiter = None

        subscription = link.attach(inbox, take)
        while count:
            if owed <= threshold:
                more = batch - owed if threshold else min(batch, count)
                owed += more
                link.send(_NEXT, b'{"batch":%d,"expires":5000000000}' % more, inbox.encode())
            if not queue:
                waiter = loop.create_future()
                await waiter
            taken, queue[:] = queue[:], []
            for msg in taken:
                link.send(msg.raw_reply, b"+ACK")
                count -= 1
        link.detach(subscription)
        await self.nc.flush()

    async def key_put(self, count: int, data: bytes) -> None:
        for number in range(count):
            await self._store(_VALUES + key(number), data)

    async def key_get(self, count: int, data: bytes) -> None:
        for number in range(count):
            msg = await self.nc.request(
                f"$JS.API.DIRECT.GET.KV_{BUCKET}.{_VALUES}{key(number)}", timeout=60.0
            )
            assert msg.data == data
            assert int(msg.headers["Nats-Sequence"]) and msg.headers["Nats-Time-Stamp"]

    async def object_put(self, count: int, data: bytes) -> None:
        for _ in range(count):
            digest, subject = hashlib.sha256(), f"{_OBJECTS}C.{os.urandom(8).hex()}"
            gate = asyncio.Semaphore(32)

            async def put(part: bytes, subject: str, gate: asyncio.Semaphore) -> None:
                async with gate:
                    await self._store(subject, part)

            puts = []
            for start in range(0, len(data), _CHUNK):
                part = data[start : start + _CHUNK]
                digest.update(part)
                puts.append(asyncio.ensure_future(put(part, subject, gate)))
            await asyncio.gather(*puts)

    async def object_get(self, count: int, data: bytes) -> None:
        name = base64.urlsafe_b64encode(OBJECT.encode()).decode()
        about = await self.nc.request(f"$JS.API.DIRECT.GET.OBJ_{BUCKET}.{_OBJECTS}M.{name}")
        nuid = json.loads(about.data)["nuid"]
        for _ in range(count):
            assert await self._chunks(nuid) == data

    async def _chunks(self, nuid: str) -> bytes:
        """Read an object by a push consumer with flow control."""
        link, inbox = self.nc.link, self.nc.new_inbox()
        digest, parts = hashlib.sha256(), []
        done = asyncio.get_running_loop().create_future()

        def take(msg: core.Msg) -> None:
            if msg.raw_reply.startswith(b"$JS.ACK."):
                digest.update(msg.data)
                parts.append(msg.data)
                if msg.raw_reply.endswith(b".0"):
                    done.set_result(None)
            elif msg.raw_reply:
                link.send(msg.raw_reply, b"")

        subscription, consumer = link.attach(inbox, take), inbox[-8:]
        config = {
            "name": consumer,
            "deliver_subject": inbox,
            "filter_subject": f"{_OBJECTS}C.{nuid}",
            "ack_policy": "none",
            "flow_control": True,
            "idle_heartbeat": 5_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        subject = f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.{consumer}.{config['filter_subject']}"
        request = {"stream_name": f"OBJ_{BUCKET}", "config": config}
        await self.nc.request(subject, json.dumps(request).encode())
        await done
        link.detach(subscription)
        return b"".join(parts)

"""Messages read straight from a stream, by both ways."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from natsrpc.core import Connection, Msg
from natsrpc.errors import BadSubjectError, ConfigError, JetStreamError, MsgNotFoundError
from natsrpc.jetstream import JetStream, Stream, StreamConfig


@pytest.fixture(params=["direct", "api"])
async def there(request: pytest.FixtureRequest, js: JetStream, stream: Stream) -> Stream:
    if request.param == "direct":
        return stream
    config = StreamConfig(name=stream.name, allow_direct=False)
    return await js.update_stream(config)


async def test_a_message_by_sequence_and_by_subject(js: JetStream, there: Stream) -> None:
    prefix = there.name.lower()
    for data in (b"1", b"2", b""):
        await js.publish(f"{prefix}.a", data)
    await js.publish(f"{prefix}.b", b"other", headers={"A": ["1", "2"]})
    msg = await there.get_msg(2)
    assert (msg.subject, msg.seq, msg.data) == (f"{prefix}.a", 2, b"2")
    assert (dict(msg.headers.items()), msg.has_headers) == ({}, False)
    assert abs(datetime.now(UTC) - msg.time) < timedelta(minutes=5)
    assert (await there.get_msg(3)).data == b""
    assert (await there.get_msg(2, subject=f"{prefix}.b")).seq == 4
    last = await there.get_last_msg(f"{prefix}.a")
    assert (last.seq, last.data) == (3, b"")
    wild = await there.get_last_msg(f"{prefix}.*")
    assert (wild.seq, wild.headers.get_all("A")) == (4, ["1", "2"])


async def test_a_message_that_is_not_there(js: JetStream, there: Stream) -> None:
    prefix = there.name.lower()
    for call in (
        there.get_msg(1),
        there.get_msg(1, subject=f"{prefix}.a"),
        there.get_last_msg(f"{prefix}.a"),
        there.get_last_msg(f"{prefix}.*"),
    ):
        with pytest.raises(MsgNotFoundError) as caught:
            await call
        assert (caught.value.code, caught.value.err_code) == (404, 10037)


async def test_headers_named_like_those_of_a_direct_get_are_the_publishers(
    js: JetStream, there: Stream
) -> None:
    subject = f"{there.name.lower()}.a"
    headers = {
        "Nats-Subject": "not.this",
        "Nats-Sequence": "99",
        "Nats-Time-Stamp": "yesterday",
        "Nats-Stream": "OTHER",
        "Status": "404",
    }
    await js.publish(subject, b"", headers=headers)
    msg = await there.get_msg(1)
    assert (msg.subject, msg.seq, msg.data) == (subject, 1, b"")
    assert msg.headers == headers
    assert msg.time.year >= 2024


async def test_what_cannot_be_asked_for_is_refused(stream: Stream) -> None:
    for bad in (0, -1, "1", True, None):
        with pytest.raises(ConfigError):
            await stream.get_msg(bad)  # type: ignore[arg-type]
    with pytest.raises(BadSubjectError):
        await stream.get_last_msg("no good")


async def test_where_direct_get_was_switched_off_meanwhile_the_api_answers(
    nc: Connection, js: JetStream, stream: Stream
) -> None:
    """A newer server says that nobody is there; an old one is silent."""
    subject = f"{stream.name.lower()}.a"
    await js.publish(subject, b"1")
    there = await JetStream(nc, timeout=0.5).stream(stream.name)
    await js.update_stream(StreamConfig(name=stream.name, allow_direct=False))
    assert (await there.get_last_msg(subject)).data == b"1"
    assert (await there.get_msg(1)).data == b"1"
    await stream.info()
    assert (await stream.get_msg(1)).data == b"1"


async def test_answers_that_are_none_of_a_stream(nc: Connection) -> None:
    js = JetStream(nc, api_prefix="odd")
    answers: dict[str, bytes] = {"odd.STREAM.INFO.S": b'{"config":{"name":"S"}}'}

    async def answer(msg: Msg) -> None:
        await msg.respond(answers[msg.subject])

    await nc.subscribe("odd.>", cb=answer)
    stream = await js.stream("S")
    for odd in ({}, {"message": None}, {"message": {"subject": "s", "seq": "x"}}):
        answers["odd.STREAM.MSG.GET.S"] = json.dumps(odd).encode()
        with pytest.raises(JetStreamError):
            await stream.get_msg(1)
    whole = {"subject": "s", "seq": 1, "data": base64.b64encode(b"x").decode(), "time": "never"}
    answers["odd.STREAM.MSG.GET.S"] = json.dumps({"message": whole}).encode()
    msg = await stream.get_msg(1)
    with pytest.raises(JetStreamError, match="'never' as a time"):
        _ = msg.time
    answers["odd.STREAM.INFO.S"] = b'{"config":{"name":"S","allow_direct":true}}'
    answers["odd.DIRECT.GET.S"] = b"no message"
    stream = await js.stream("S")
    with pytest.raises(JetStreamError, match="no message of a stream"):
        await stream.get_msg(1)

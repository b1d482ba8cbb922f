"""Publishing events: their types, their subjects, and what is on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import Event
from natsrpc.core import Headers
from natsrpc.errors import BadSubjectError, ConfigError, EncodeError
from natsrpc.testing import Broker, Published


class Placed(BaseModel):
    order: int


class Other(BaseModel):
    order: int


placed = Event("shop.{region}.{shop}.placed", Placed)
here = {"region": "eu", "shop": "a"}


async def sent(event: Event[Any], value: Any, **options: Any) -> Published:
    broker = Broker()
    async with natsrpc.connect(
        **broker.options(), codec=options.pop("of_client", "json")
    ) as client:
        await client.publish(event, value, **options)
        await client.connection.flush()
    (found,) = broker.published
    return found


async def test_an_event_is_the_value_on_its_subject_and_nothing_else() -> None:
    found = await sent(placed, Placed(order=7), tokens=here)
    assert (found.subject, found.data, found.reply) == ("shop.eu.a.placed", b'{"order":7}', "")
    assert dict(Headers.decode(found.headers).items()) == {"Content-Type": "application/json"}


async def test_headers_and_codec_are_those_of_the_publish() -> None:
    found = await sent(
        placed, Placed(order=7), tokens=here, headers={"Trace": "x"}, codec="msgpack"
    )
    assert found.data == b"\x81\xa5order\x07"
    assert dict(Headers.decode(found.headers).items()) == {
        "Content-Type": "application/msgpack",
        "Trace": "x",
    }
    assert (
        await sent(placed, Placed(order=7), tokens=here, of_client="msgpack")
    ).data == found.data


async def test_each_publish_has_the_subject_of_its_tokens() -> None:
    broker = Broker()
    async with natsrpc.connect(**broker.options()) as client:
        for region in ("eu", "us", "eu"):
            await client.publish(placed, Placed(order=1), tokens={"shop": "b", "region": region})
        numbers: Any = {"region": 1, "shop": True}
        await client.publish(placed, Placed(order=1), tokens=numbers)
        await client.publish(placed, Placed(order=1), tokens={"region": True, "shop": 1})  # type: ignore[dict-item]  # as users do
        await client.publish(placed, Placed(order=1), tokens={"region": "1", "shop": "1"})
        await client.connection.flush()
    assert [each.subject for each in broker.published] == [
        "shop.eu.b.placed",
        "shop.us.b.placed",
        "shop.eu.b.placed",
        "shop.1.True.placed",
        "shop.True.1.placed",
        "shop.1.1.placed",
    ]


@pytest.mark.parametrize(
    "value", [5, None, "x", {"order": "no"}, Other(order=1), [Placed(order=1)]]
)
async def test_a_value_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError, match="as Placed"):
        await sent(placed, value, tokens=here)


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (None, "needs a value for token 'region'"),
        ({"region": "eu"}, "needs a value for token 'shop'"),
        ({**here, "more": "x"}, "has no token 'more'"),
        ({**here, "region": ""}, "token 'region' is ''"),
        ({**here, "region": "a.b"}, "token 'region' is 'a.b'"),
        ({**here, "shop": "*"}, r"token 'shop' is '\*'"),
        ({**here, "shop": ">"}, "token 'shop' is '>'"),
        ({**here, "shop": "a b"}, "token 'shop' is 'a b'"),
        ({**here, "shop": "a\r\nPUB x 0"}, "token 'shop' is"),
        (["eu"], "expected a mapping"),
    ],
)
async def test_tokens_that_do_not_fit_are_refused_by_name(tokens: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        await sent(placed, Placed(order=1), tokens=tokens)


@pytest.mark.parametrize("token", ["$JS", "_INBOX", "_NATSRPC"])
async def test_no_token_makes_an_event_of_what_is_none(token: str) -> None:
    event = Event("{tenant}.placed", int)
    with pytest.raises(BadSubjectError, match="of an event"):
        await sent(event, 1, tokens={"tenant": token})


async def test_tokens_without_an_event_are_refused() -> None:
    async with natsrpc.connect(**Broker().options()) as client:
        untyped: Any = client
        with pytest.raises(ConfigError, match="which is a subject"):
            await untyped.publish("shop.placed", 1, tokens={"region": "eu"})
        targets: list[Any] = [5, None, {}, Placed]
        for wrong in targets:
            with pytest.raises(BadSubjectError, match="expected a subject or an Event"):
                await untyped.publish(wrong, 1)


async def test_an_event_that_a_codec_cannot_carry_is_refused() -> None:
    class Opaque:
        pass

    with pytest.raises(EncodeError, match="cannot carry event"):
        await sent(Event("shop.odd", Opaque), Opaque())

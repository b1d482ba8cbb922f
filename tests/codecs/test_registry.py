"""Finding codecs by name, by content type, by object."""

from __future__ import annotations

from typing import Any

import pytest

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError, UnknownCodecError


class Loud:
    name = "loud"
    content_type = "Text/X-Loud; charset=utf-8"

    def bind(self, type_: Any) -> codecs.Bound:
        return codecs.Bound(lambda value: str(value).upper().encode(), lambda data: data.decode())

    def schema(self, type_: Any, *, mode: str = "validation") -> dict[str, Any] | None:
        return None


@pytest.mark.parity("N2")
def test_the_built_in_names() -> None:
    assert codecs.names() == ["default", "json", "msgpack", "protobuf", "raw", "text"]
    assert codecs.get("default") is codecs.get("text")


def test_get_takes_a_name_a_content_type_or_a_codec() -> None:
    json = codecs.get("json")
    assert codecs.get("application/json") is json
    assert codecs.get(json) is json


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/problem+json", "json"),
        ("text/json", "json"),
        ("application/msgpack", "msgpack"),
        ("application/x-msgpack", "msgpack"),
        ("application/vnd.msgpack", "msgpack"),
        ("application/octet-stream", "raw"),
        ("text/plain;charset=utf-8", "text"),
        ("application/protobuf", "protobuf"),
        ("application/x-protobuf", "protobuf"),
    ],
)
def test_a_content_type_names_a_codec(content_type: str, name: str) -> None:
    assert codecs.by_content_type(content_type) is codecs.get(name)


def test_an_unknown_content_type_is_none() -> None:
    assert codecs.by_content_type("image/png") is None
    assert codecs.by_content_type("") is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownCodecError, match=r"'yaml'.*'json', 'msgpack'") as caught:
        codecs.get("yaml")
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("name", ["gob", "pickle", "GOB"])
@pytest.mark.parity("N14")
def test_gob_and_pickle_are_refused_with_the_codec_to_use(name: str) -> None:
    with pytest.raises(UnknownCodecError, match="msgpack"):
        codecs.get(name)


@pytest.mark.usefixtures("restored_codecs")
@pytest.mark.parity("N2")
def test_the_last_one_registered_wins() -> None:
    first, second = Loud(), Loud()
    codecs.register("loud", first)
    codecs.register("loud", second)
    assert codecs.get("loud") is second
    assert codecs.by_content_type("text/x-loud") is second


@pytest.mark.usefixtures("restored_codecs")
def test_one_registered_under_a_built_in_s_name_stays() -> None:
    mine = Loud()
    codecs.register("json", mine)
    codecs.load()
    assert codecs.get("json") is mine
    assert codecs.by_content_type("text/x-loud") is mine
    assert isinstance(codecs.by_content_type("application/json"), codecs.JsonCodec)


@pytest.mark.usefixtures("restored_codecs")
def test_one_registered_with_a_built_in_s_content_type_stays() -> None:
    mine = Loud()
    mine.content_type = "application/json"
    codecs.register("loud", mine)
    codecs.load()
    assert codecs.by_content_type("application/json") is mine
    assert codecs.by_content_type("application/problem+json") is mine
    assert isinstance(codecs.get("json"), codecs.JsonCodec)


def test_a_built_in_is_one_under_all_its_names() -> None:
    codecs.load()
    assert codecs.get("json") is codecs.get("text/json") is codecs.get("application/json")
    assert codecs.get("default") is codecs.by_content_type("text/plain")


def test_an_attribute_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match=r"natsrpc\.codecs.*'XmlCodec'"):
        codecs.XmlCodec  # type: ignore[attr-defined]  # noqa: B018 — that it raises is the point


def test_what_is_not_a_codec_is_refused() -> None:
    wrong: Any = object()
    with pytest.raises(ConfigTypeError, match="not a codec"):
        codecs.get(wrong)
    with pytest.raises(ConfigTypeError, match="not a codec"):
        codecs.register("loud", Loud)  # type: ignore[arg-type]  # the class, not an instance
    with pytest.raises(ConfigTypeError, match="empty"):
        codecs.register("", Loud())

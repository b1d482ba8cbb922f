"""Contracts as AsyncAPI documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from natsrpc.describe import RAW, asyncapi
from natsrpc.rpc import EndpointContract, ServiceContract


class Item(BaseModel):
    sku: str
    parts: list[Item] = []


class Order(BaseModel):
    items: list[Item]


def contract(*endpoints: EndpointContract) -> ServiceContract:
    return ServiceContract(
        name="shop", version="1.2.0", description="sells", endpoints=tuple(endpoints)
    )


def endpoint(name: str = "buy", **fields: Any) -> EndpointContract:
    return EndpointContract(
        name,
        f"shop.{name}",
        "q",
        **{"request_type": Order, "response_type": Item, "doc": "Buys.\n\nMore.", **fields},
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolve(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_a_service_is_a_document() -> None:
    document = asyncapi(contract(endpoint()), servers=("nats.example.com:4222",))
    assert document["asyncapi"] == "3.0.0"
    assert document["info"] == {"title": "shop", "version": "1.2.0", "description": "sells"}
    assert document["servers"]["nats-1"] == {"host": "nats.example.com:4222", "protocol": "nats"}
    assert document["channels"]["buy"]["address"] == "shop.buy"
    operation = document["operations"]["buy"]
    assert (operation["action"], operation["summary"]) == ("receive", "Buys.")
    assert document["channels"]["buy-reply"]["address"] is None
    json.dumps(document)


def test_every_reference_resolves() -> None:
    document = asyncapi(contract(endpoint(), endpoint("sell"), endpoint("buy")))
    found = list(references(document))
    assert any("components" in reference for reference in found)
    for reference in found:
        assert resolve(document, reference) is not None
    assert "$defs" not in json.dumps(document)


def test_endpoints_of_one_name_are_numbered() -> None:
    document = asyncapi(contract(endpoint(), endpoint(), endpoint()))
    assert list(document["operations"]) == ["buy", "buy-2", "buy-3"]


def test_no_response_is_no_reply() -> None:
    document = asyncapi(contract(endpoint(response_type=None)))
    assert list(document["channels"]) == ["buy"]
    assert "reply" not in document["operations"]["buy"]
    assert "servers" not in document


def test_items_of_a_request_stream_are_a_message_of_their_own() -> None:
    uploading = endpoint(kind="request_stream", request_type=None, stream_type=Order)
    document = asyncapi(contract(uploading))
    assert document["channels"]["buy"]["messages"]["item"]["payload"]["title"] == "Order"
    named = [message["$ref"] for message in document["operations"]["buy"]["messages"]]
    assert named == ["#/channels/buy/messages/request", "#/channels/buy/messages/item"]


def test_tokens_are_parameters_and_raw_bytes_are_told() -> None:
    bare = endpoint(template="shop.{user}.buy", request_type=bytes, codec="unknown")
    channel = asyncapi(contract(bare))["channels"]["buy"]
    assert channel["parameters"] == {"user": {}}
    assert channel["messages"]["request"] == {"name": "buy-request", "payload": dict(RAW)}

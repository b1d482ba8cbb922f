"""Contracts as JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from natsrpc import codecs
from natsrpc.describe import RAW, endpoint_schema, error_schema, schema
from natsrpc.errors import RpcError
from natsrpc.rpc import EndpointContract, Service, ServiceContract


class Order(BaseModel):
    sku: str
    count: int = 1


class Receipt(BaseModel):
    order: Order
    total: float


class OutOfStock(RpcError, code=409):  # noqa: N818 - spelled as users spell it
    """There are none left."""

    sku: str
    left: int


def endpoint(**fields: Any) -> EndpointContract:
    return EndpointContract(**{"name": "buy", "subject": "shop.buy", "queue_group": "q", **fields})


def test_an_endpoint_tells_both_its_types() -> None:
    found = endpoint_schema(
        endpoint(request_type=Order, response_type=Receipt, doc="Buys.", errors=(OutOfStock,))
    )
    assert found["request"]["required"] == ["sku"]
    assert found["response"]["properties"]["order"] == {"$ref": "#/$defs/Order"}
    assert (found["name"], found["subject"], found["template"]) == ("buy", "shop.buy", "shop.buy")
    assert (found["kind"], found["description"]) == ("unary", "Buys.")
    assert found["content_type"] == "application/json"
    assert [error["name"] for error in found["errors"]] == ["OutOfStock"]
    json.dumps(found)


def test_each_side_is_described_as_it_travels() -> None:
    found = endpoint_schema(endpoint(request_type=Order, response_type=Order))
    assert found["request"]["required"] == ["sku"]
    assert "sku" in found["response"]["required"]


@pytest.mark.parametrize(
    ("type_", "told"), [(None, None), (bytes, dict(RAW)), (Callable[[], int], {}), (object(), {})]
)
def test_what_has_no_schema_is_told_from_what_is_not_there(type_: Any, told: Any) -> None:
    found = endpoint_schema(endpoint(request_type=type_, response_type=type_, stream_type=type_))
    assert (found["request"], found["items"], found["response"]) == (told, told, told)


def test_a_request_stream_tells_its_items_beside_its_request() -> None:
    found = endpoint_schema(endpoint(kind="both_stream", request_type=Order, stream_type=int))
    assert found["request"]["title"] == "Order"
    assert found["items"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("codec", "content_type"),
    [("text", "text/plain"), ("raw", "application/octet-stream"), ("not-registered", "")],
)
def test_a_codec_without_schemas_still_names_its_content_type(
    codec: str, content_type: str
) -> None:
    found = endpoint_schema(endpoint(codec=codec, request_type=str, response_type=bytes))
    assert (found["content_type"], found["request"]) == (content_type, {})


def test_msgpack_is_described_like_json() -> None:
    found = endpoint_schema(endpoint(codec="msgpack", request_type=Order))
    assert found["content_type"] == "application/msgpack"
    assert found["request"] == codecs.get("json").schema(Order)


def test_a_wildcard_subject_keeps_its_names() -> None:
    found = endpoint_schema(endpoint(subject="orders.*.get", template="orders.{user}.get"))
    assert (found["subject"], found["template"]) == ("orders.*.get", "orders.{user}.get")


def test_an_error_tells_its_code_and_fields() -> None:
    found = error_schema(OutOfStock)
    assert (found["name"], found["code"]) == ("OutOfStock", 409)
    assert found["description"] == "There are none left."
    assert found["fields"]["required"] == ["sku", "left"]
    assert error_schema(RpcError)["fields"] is None


def test_a_service_s_endpoints_come_in_their_order() -> None:
    service = Service("shop", version="1.0.0")

    @service.handler("shop.buy")
    async def buy(sku: str, count: int = 1) -> Receipt:
        """Buy something."""
        raise NotImplementedError

    @service.handler("shop.look")
    async def look(order: Order) -> None: ...

    first, second = schema(service.contract)
    assert first["request"]["properties"].keys() == {"sku", "count"}
    assert first["description"] == "Buy something."
    assert second["request"]["title"] == "Order"
    assert second["response"] is None
    assert schema(ServiceContract(name="empty", version="1.0.0")) == []

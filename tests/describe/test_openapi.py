"""Contracts as OpenAPI: paths, bodies, errors, and shared schemas."""

from __future__ import annotations

import json
import re
from typing import Any

import natsrpc
from natsrpc.describe import document, openapi, read_document
from tests.web.shop import shop


def written(*services: natsrpc.Service) -> dict[str, Any]:
    found = openapi([read_document(document(each.contract)) for each in services])
    text = json.dumps(found)
    for reference in text.split('"$ref": "#/')[1:]:  # each leads somewhere
        place: Any = found
        for step in reference.partition('"')[0].split("/"):
            place = place[step]
    return found


def test_each_endpoint_has_its_path_and_its_types() -> None:
    found = written(shop())
    assert found["openapi"] == "3.1.0"
    assert found["tags"] == [{"name": "orders", "description": "takes orders"}]
    place = found["paths"]["/orders/place"]["post"]
    assert (place["operationId"], place["summary"]) == ("orders_place", "Place an order.")
    body = place["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/Order")
    answer = place["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["$ref"].endswith("/Receipt")
    errors = place["responses"]["409"]["content"]["application/problem+json"]["schema"]["anyOf"]
    assert errors[0]["$ref"].endswith("/OutOfStock")
    fields = found["components"]["schemas"]["OutOfStock"]["allOf"][1]["properties"]
    assert fields["error"] == {"const": "OutOfStock"}
    assert fields["details"]["properties"].keys() == {"sku", "left"}


def test_a_get_has_parameters_for_the_fields() -> None:
    listing = written(shop())["paths"]["/orders/{user}/list"]
    assert [each["name"] for each in listing["parameters"]] == ["user"]
    query = [each for each in listing["get"]["parameters"] if each.get("in") == "query"]
    assert [each["name"] for each in query] == ["state", "limit", "exact"]
    assert not any(each["required"] for each in query)
    assert query[0]["schema"]["enum"] == ["open", "done"]
    assert not listing["post"]["requestBody"]["required"]


def test_streams_and_files_have_their_types() -> None:
    paths = written(shop())["paths"]
    types = {"application/x-ndjson", "text/event-stream"}
    assert paths["/orders/watch"]["get"]["responses"]["200"]["content"].keys() == types
    upload = paths["/orders/import"]["post"]
    assert upload["requestBody"]["content"].keys() == {"application/x-ndjson"}
    assert upload["parameters"][0]["name"] == "value"
    file = paths["/orders/store"]["post"]["requestBody"]
    assert file["content"] == {"application/octet-stream": {}}
    assert paths["/orders/forget"]["post"]["responses"].keys() == {"204", "default"}


def test_what_two_services_define_alike_is_one_schema() -> None:
    schemas = written(shop(), shop("stock"))["components"]["schemas"]
    assert {name for name in schemas if "Order" in name} == {"Order"}


def test_schemas_of_one_name_that_differ_have_two() -> None:
    other = natsrpc.Service("other", version="1.0.0")

    class Order(natsrpc.RpcError):
        """Another thing of the same name."""

        why: str

    @other.handler("other.fail", errors=(Order,))
    async def fail() -> None: ...

    schemas = written(shop(), other)["components"]["schemas"]
    assert {name for name in schemas if "Order" in name} == {"Order", "Order-2"}


def test_a_path_is_one_however_its_parameters_are_called() -> None:
    def contract(version: str, *templates: str) -> dict[str, Any]:
        endpoints = [
            {"name": each, "subject": re.sub(r"\{\w+\}", "*", each), "template": each}
            for each in templates
        ]
        return read_document({"name": "two", "version": version, "endpoints": endpoints})

    new = contract("2.0.0", "col.{aa}.x", "col.{bb}.x", "col.{aa}.y")
    old = contract("1.0.0", "col.{cc}.x", "col.*.>")
    paths = openapi([new, old])["paths"]
    assert {path: item["post"]["summary"] for path, item in paths.items()} == {
        "/col/{aa}/x": "col.{aa}.x",
        "/col/{aa}/y": "col.{aa}.y",
        "/col/{token2}/{rest}": "col.*.>",
    }


def test_a_contract_that_is_too_deep_is_left_out_and_named() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    endpoint = {"name": "x", "subject": "deep.x", "request": schema, "response": None}
    deep = read_document({"name": "deep", "version": "1.0.0", "endpoints": [endpoint]})
    fine = read_document(document(shop().contract))
    found = openapi([deep, fine])
    assert "/orders/place" in found["paths"]
    assert "/deep/x" not in found["paths"]
    assert "deep 1.0.0: this contract is nested too deeply" in found["info"]["description"]

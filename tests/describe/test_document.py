"""Contracts as documents that can be kept."""

from __future__ import annotations

import json

import pytest

from natsrpc.describe import document, read_document
from natsrpc.errors import ConfigError
from natsrpc.rpc import Service

service = Service("shop", version="1.0.0", description="sells")


@service.handler("shop.buy", name="buy")
async def buy(sku: str, count: int = 1) -> float:
    """Buy something."""
    return 1.0


def test_a_document_is_json_and_reads_as_it_is() -> None:
    found = document(service.contract)
    assert read_document(json.loads(json.dumps(found))) == found
    assert (found["type"], found["name"]) == ("io.natsrpc.v1.contract", "shop")
    (endpoint,) = found["endpoints"]
    assert (endpoint["subject"], endpoint["queue_group"]) == ("shop.buy", "q")


def test_what_changes_from_start_to_start_is_not_in_it() -> None:
    live = {**document(service.contract), "id": "X1", "metadata": {"host": "a"}, "started": "now"}
    assert read_document(live) == document(service.contract)


def test_missing_fields_have_defaults() -> None:
    found = read_document(
        {"name": "a", "version": "1.0.0", "endpoints": [{"name": "b", "subject": "c"}]}
    )
    assert found["description"] == ""
    assert found["endpoints"][0]["template"] == "c"
    assert found["endpoints"][0]["kind"] == "unary"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="no contract"):
        read_document("x")

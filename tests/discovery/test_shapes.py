"""The shapes of ADR-32, which tools in other languages decode without mercy."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from natsrpc.discovery import shapes
from natsrpc.rpc import EndpointContract, ServiceContract

ID = "kP3v0XcQ8dTz5LbN1wYhRe"


@dataclass
class Counters:
    num_requests: int = 0
    num_errors: int = 0
    num_refused: int = 0
    num_dropped: int = 0
    last_error: str = ""
    processing_time_ns: int = 0


@dataclass
class Counted:
    contract: EndpointContract
    answers: Counters = field(default_factory=Counters)
    inflight: int = 0


@dataclass
class Running:
    contract: ServiceContract
    id: str = ID
    started: dt.datetime = dt.datetime(2026, 11, 23, 10, 20, 30, 123456, tzinfo=dt.UTC)
    served: list[Counted] = field(default_factory=list)


def running(**more: Any) -> Running:
    contract = ServiceContract(name="calc", version="1.2.0", description="adds")
    return Running(contract, **more)


def add(**counters: Any) -> Counted:
    return Counted(EndpointContract("add", "calc.add", "q"), Counters(**counters))


def test_ping() -> None:
    assert shapes.ping(running()) == {
        "type": "io.nats.micro.v1.ping_response",
        "name": "calc",
        "id": ID,
        "version": "1.2.0",
        "metadata": {},
    }


def test_info() -> None:
    contract = EndpointContract("all", "calc.>", "", metadata={"unit": "m"})
    assert shapes.info(running(served=[add(), Counted(contract)])) == {
        "type": "io.nats.micro.v1.info_response",
        "name": "calc",
        "id": ID,
        "version": "1.2.0",
        "metadata": {},
        "description": "adds",
        "endpoints": [
            {"name": "add", "subject": "calc.add", "queue_group": "q", "metadata": {}},
            {"name": "all", "subject": "calc.>", "queue_group": "", "metadata": {"unit": "m"}},
        ],
    }


def test_info_points_to_the_schema() -> None:
    found = shapes.info(running(served=[add()]), schema_subject="$SRV.SCHEMA.calc")
    assert found["endpoints"][0]["metadata"] == {"natsrpc.schema": "$SRV.SCHEMA.calc"}
    assert found["metadata"] == {}


def test_stats() -> None:
    counted = add(
        num_requests=3, num_errors=1, last_error="400:bad operand", processing_time_ns=51_001
    )
    assert shapes.stats(running(served=[counted])) == {
        "type": "io.nats.micro.v1.stats_response",
        "name": "calc",
        "id": ID,
        "version": "1.2.0",
        "metadata": {},
        "started": "2026-11-23T10:20:30.123456Z",
        "endpoints": [
            {
                "name": "add",
                "subject": "calc.add",
                "queue_group": "q",
                "num_requests": 3,
                "num_errors": 1,
                "last_error": "400:bad operand",
                "processing_time": 51_001,
                "average_processing_time": 17_000,
            }
        ],
    }


def test_the_average_of_no_requests_is_zero() -> None:
    found = shapes.stats(running(served=[add(processing_time_ns=5)]))
    assert found["endpoints"][0]["average_processing_time"] == 0


def test_data_is_attached_to_each_endpoint_if_there_is_any() -> None:
    endpoints = [add(num_refused=3, num_dropped=2), add()]
    found = shapes.stats(running(served=endpoints), {"status": "ok"})
    assert [each["data"] for each in found["endpoints"]] == [
        {"natsrpc": {"health": {"status": "ok"}, "inflight": 0, "refused": 3, "dropped": 2}},
        {"natsrpc": {"health": {"status": "ok"}, "inflight": 0, "refused": 0, "dropped": 0}},
    ]
    assert "data" not in shapes.stats(running(served=[add()]))["endpoints"][0]


def test_numbers_are_integers_and_lists_are_lists() -> None:
    counted = add(num_requests=2.0, num_errors=1.0, processing_time_ns=1e9, last_error=None)
    text = json.dumps(shapes.stats(running(served=[counted])))
    assert not re.search(r"\d\.\d+[,}]", text)
    assert "null" not in text
    assert shapes.stats(running())["endpoints"] == []
    assert shapes.info(running())["endpoints"] == []


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00.000000Z"),
        (
            dt.datetime(2026, 1, 2, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "2026-01-01T23:00:00.000000Z",
        ),
    ],
)
def test_started_is_utc_with_a_z(moment: dt.datetime, text: str) -> None:
    assert shapes.timestamp(moment) == text


def test_a_subscriber_tells_its_kind_and_what_waits() -> None:
    contract = EndpointContract(
        "bill", "placed", "shop.bill", metadata={"natsrpc.kind": "event"}, kind="event"
    )
    one = running(served=[Counted(contract, inflight=7), add()])
    assert [each["metadata"] for each in shapes.info(one)["endpoints"]] == [
        {"natsrpc.kind": "event"},
        {},
    ]
    bill, called = shapes.stats(one, {})["endpoints"]
    assert bill["metadata"] == {"natsrpc.kind": "event"}
    assert bill["data"]["natsrpc"] == {"health": {}, "inflight": 7, "refused": 0, "dropped": 0}
    assert "metadata" not in called
    assert called["data"]["natsrpc"]["inflight"] == 0


def test_the_programs_own_figures_stand_at_the_top() -> None:
    found = shapes.stats(running(served=[add()]), {}, lambda name: {"cached": 3, "of": name})
    data = found["endpoints"][0]["data"]
    assert (data["cached"], data["of"], sorted(data)) == (3, "add", ["cached", "natsrpc", "of"])

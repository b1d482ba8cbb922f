"""Reading what other people's services answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natsrpc.core import Msg
from natsrpc.discovery import ServiceIdentity, ServiceInfo, ServiceStats
from natsrpc.discovery.reader import moment, read

# A busy machine is no failure.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KINDS = [ServiceIdentity, ServiceInfo, ServiceStats]


def msg(value: Any, headers: dict[str, str] | None = None) -> Msg:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Msg("inbox", data, headers=headers)


def test_a_full_info_is_read() -> None:
    found = read(
        msg(
            {
                "type": "io.nats.micro.v1.info_response",
                "name": "calc",
                "id": "X",
                "version": "1.0.0",
                "metadata": {"team": "a"},
                "description": "adds",
                "endpoints": [
                    {
                        "name": "add",
                        "subject": "calc.add",
                        "queue_group": "q",
                        "metadata": {"k": "v"},
                    }
                ],
            }
        ),
        ServiceInfo,
        0.5,
    )
    assert found is not None
    assert (found.name, found.id, found.version, found.rtt) == ("calc", "X", "1.0.0", 0.5)
    assert (found.description, dict(found.metadata)) == ("adds", {"team": "a"})
    assert found.endpoints[0].subject == "calc.add"
    assert dict(found.endpoints[0].metadata) == {"k": "v"}


def test_what_is_sloppy_is_put_right() -> None:
    found = read(
        msg(
            {
                "name": "calc",
                "id": "X",
                "metadata": None,
                "started": "2026-11-23T10:20:30.123456789Z",
                "unknown": [1],
                "endpoints": [
                    {
                        "name": "add",
                        "subject": "calc.add",
                        "num_requests": 3.0,
                        "num_errors": None,
                        "last_error": None,
                        "processing_time": 51000.7,
                        "average_processing_time": "x",
                        "data": {"health": 5, "natsrpc": {"health": {"status": "ok"}}},
                    },
                    "not an endpoint",
                ],
            }
        ),
        ServiceStats,
    )
    assert found is not None
    assert found.started == dt.datetime(2026, 11, 23, 10, 20, 30, 123456, tzinfo=dt.UTC)
    endpoint = found.endpoints[0]
    assert (endpoint.num_requests, endpoint.num_errors, endpoint.last_error) == (3, 0, "")
    assert (endpoint.processing_time_ns, endpoint.average_processing_time_ns) == (51000, 0)
    assert all(type(value) is int for value in (endpoint.num_requests, endpoint.processing_time_ns))
    assert len(found.endpoints) == 1
    assert (found.num_requests, found.num_errors) == (3, 0)
    assert found.health == {"status": "ok"}


def test_numbers_that_are_none_count_as_zero() -> None:
    data = b'{"name":"a","id":"b","endpoints":[{"num_requests":NaN,"num_errors":Infinity}]}'
    found = read(msg(data), ServiceStats)
    assert found is not None
    assert (found.num_requests, found.num_errors) == (0, 0)


@pytest.mark.parametrize("endpoints", [None, {}, "x", 5])
def test_endpoints_that_are_no_list_are_none(endpoints: Any) -> None:
    kinds: list[Any] = [ServiceInfo, ServiceStats]
    for kind in kinds:
        found: Any = read(msg({"name": "a", "id": "b", "endpoints": endpoints}), kind)
        assert found is not None
        assert found.endpoints == ()


@pytest.mark.parametrize("data", [None, 5, [], "x", {"natsrpc": 5}, {"health": {}}])
def test_health_is_none_of_others(data: Any) -> None:
    found = read(msg({"name": "a", "id": "b", "endpoints": [{"data": data}]}), ServiceStats)
    assert found is not None
    assert found.health is None
    assert found.endpoints[0].natsrpc == {}


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"\xff", [], "text", 5, {}, {"name": "a"}, {"id": "b"}, {"name": 5, "id": "b"}],
)
def test_what_is_no_response_is_none(value: Any) -> None:
    assert read(msg(value), ServiceIdentity) is None


def test_deep_nesting_is_no_response() -> None:
    assert read(msg(b"[" * 100_000), ServiceIdentity) is None


def test_an_error_is_no_response() -> None:
    value = {"name": "a", "id": "b"}
    assert read(msg(value, {"Nats-Service-Error": "no"}), ServiceIdentity) is None
    assert read(msg(value, {"X": "y"}), ServiceIdentity) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:20:30Z", dt.datetime(2026, 11, 23, 10, 20, 30, tzinfo=dt.UTC)),
        ("2026-11-23T10:20:30.5Z", dt.datetime(2026, 11, 23, 10, 20, 30, 500_000, tzinfo=dt.UTC)),
        ("2026-11-23T10:20:30.1234567+02:00", None),
        ("2026-11-23 10:20:30", dt.datetime(2026, 11, 23, 10, 20, 30, tzinfo=dt.UTC)),
    ],
)
def test_moments(text: str, expected: dt.datetime | None) -> None:
    found = moment(text)
    assert found is not None
    assert found.tzinfo is dt.UTC
    assert expected is None or found == expected


@pytest.mark.parametrize(
    "text", ["", "today", "2026-13-01T00:00:00Z", "2026-11-23T99:00:00Z", "2026-11-23"]
)
def test_what_is_no_moment_is_none(text: str) -> None:
    assert moment(text) is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_cannot_be_changed(kind: type[ServiceIdentity]) -> None:
    found: Any = read(msg({"name": "a", "id": "b", "metadata": {"k": "v"}}), kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"
    with pytest.raises(TypeError):
        found.metadata["k"] = "other"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "id", "endpoints", "started", "metadata", "num_requests", "data"]
            ),
            inner,
        )
    ),
)


@RELAXED
@given(
    st.dictionaries(
        st.sampled_from(["version", "metadata", "endpoints", "started", "description"]), anything
    ),
    st.sampled_from(KINDS),
)
def test_anything_with_a_name_and_an_id_is_read(
    fields: dict[str, Any], kind: type[ServiceIdentity]
) -> None:
    found = read(msg({**fields, "name": "a", "id": "b"}), kind)
    assert found is not None
    assert isinstance(found.version, str)

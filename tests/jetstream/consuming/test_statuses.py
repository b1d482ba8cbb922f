"""What statuses mean."""

from __future__ import annotations

import pytest

from natsrpc.errors import (
    ConsumerDeletedError,
    ConsumerLeadershipChangedError,
    JetStreamError,
)
from natsrpc.jetstream.consuming.statuses import Verdict, error_of_status, limit_in, verdict_of


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (100, "Idle Heartbeat", Verdict.ALIVE),
        (404, "No Messages", Verdict.OVER),
        (408, "Request Timeout", Verdict.OVER),
        (408, "Requests Pending", Verdict.OVER),
        (409, "Batch Completed", Verdict.OVER),
        (409, "Message Size Exceeds MaxBytes", Verdict.TOO_LARGE),
        (409, "Server Shutdown", Verdict.MOVED),
        (409, "Leadership Change", Verdict.MOVED),
        (409, "Consumer Deleted", Verdict.DELETED),
        (409, "Consumer is push based", Verdict.REFUSED),
        (409, "Exceeded MaxRequestBatch of 5", Verdict.LIMITED),
        (409, "Exceeded MaxWaiting", Verdict.LIMITED),
        (409, "Something new", Verdict.UNKNOWN),
        (423, "Nats-Pin-Id mismatch", Verdict.UNPINNED),
        (400, "Bad Request", Verdict.REFUSED),
        (412, "Required Api Level", Verdict.REFUSED),
        (503, "", Verdict.NOBODY),
        (999, "", Verdict.UNKNOWN),
        (None, "", Verdict.UNKNOWN),
    ],
)
def test_each_has_its_meaning(code: int | None, text: str, verdict: Verdict) -> None:
    assert verdict_of(code, text) is verdict
    assert verdict_of(code, text.upper()) is verdict


def test_as_errors_they_have_the_servers_words() -> None:
    deleted = error_of_status(409, "Consumer Deleted", "S/C")
    assert isinstance(deleted, ConsumerDeletedError)
    assert (deleted.code, deleted.description) == (409, "Consumer Deleted")
    assert "S/C" in str(deleted)
    moved = error_of_status(409, "Leadership Change", "S/C")
    assert isinstance(moved, ConsumerLeadershipChangedError)
    assert type(error_of_status(400, "Bad Request", "S/C")) is JetStreamError


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("Exceeded MaxRequestBatch of 5", ("maxrequestbatch", 5.0)),
        ("Exceeded MaxRequestExpires of 1s", ("maxrequestexpires", 1.0)),
        ("Exceeded MaxRequestExpires of 1m30.5s", ("maxrequestexpires", 90.5)),
        ("Exceeded MaxRequestExpires of 250ms", ("maxrequestexpires", 0.25)),
        ("Exceeded MaxRequestMaxBytes of 1024", ("maxrequestmaxbytes", 1024.0)),
        ("Exceeded MaxRequestBatch of many", None),
        ("Exceeded MaxRequestExpires of ever", None),
        ("Exceeded MaxWaiting", None),
    ],
)
def test_the_limits_that_they_name(text: str, limit: tuple[str, float] | None) -> None:
    assert limit_in(text) == limit

"""What passes for a plain call passes for all of it: each operation through each topology.

What nats-server cannot give is refused within about a second, by an error that names the line to
write. Two things cannot be told to the caller, and `docs/wire.md` says so: a unary call across
accounts is bounded by its deadline, for a cancel cannot name it, and an export of single answers
lets one instance answer a `gather`.
"""

from __future__ import annotations

import asyncio

import pytest

import natsrpc

from .cell import opened
from .operations import ALL, CONVERSATIONS
from .topologies import Topology, few_allowed_answers

pytestmark = pytest.mark.live

SOON = 4.0
"""Seconds that are fewer than any timeout of a call or of a conversation."""


@pytest.mark.parametrize("name", ALL)
async def test_all_of_it_passes_or_is_refused_with_the_line_to_write(
    topology: Topology, name: str
) -> None:
    operation = ALL[name]
    async with opened(topology) as cell:
        refused = refusal(topology, name)
        if refused is None:
            await operation(cell)
            return
        error, words = refused
        async with asyncio.timeout(SOON):
            with pytest.raises(error) as caught:
                await operation(cell)
        assert [word for word in words if word not in str(caught.value)] == []


def refusal(topology: Topology, name: str) -> tuple[type[natsrpc.NatsRpcError], list[str]] | None:
    """The error of a cell that nats-server cannot give, and what its text names."""
    if topology.answers == 1 and name in CONVERSATIONS:
        return natsrpc.UnavailableError, ["response_type: stream", "allow_responses", "max"]
    if topology.one_token and name == "large_request":
        return natsrpc.NoRespondersError, ["size._NATSRPC.large", "`*`", "write `>`"]
    return None


@pytest.mark.parametrize("name", ["long_stream", "upload", "both_ways"])
async def test_a_side_that_may_not_answer_any_more_is_told_the_line_to_write(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller by its error, the worker by one line of its log."""
    with few_allowed_answers() as topology:
        async with opened(topology) as cell:
            async with asyncio.timeout(SOON):
                with pytest.raises((natsrpc.UnavailableError, natsrpc.PermissionsError)) as caught:
                    await ALL[name](cell)
    told = [record.getMessage() for record in caplog.records if record.name == "natsrpc.rpc"]
    assert len(told) <= 1
    if isinstance(caught.value, natsrpc.PermissionsError):
        told.append(str(caught.value))
    assert told, caught.value
    assert all("`allow_responses` ran out, and needs a higher `max`" in text for text in told)

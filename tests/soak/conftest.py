"""Long proofs run only when asked for: `pytest -m soak tests/soak`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from natsrpc.testing import NatsServer


@pytest.fixture
def fresh_jetstream() -> Iterator[NatsServer]:
    """A server with JetStream for one test."""
    with NatsServer(jetstream=True) as server:
        yield server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: takes half a minute or more; run with -m soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" in config.getoption("-m"):
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]

"""Kill -9 amid jobs: each is done, and twice only where who had done it died before its ack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from natsrpc.testing import NatsServer

from .jobs import KILLERS, KILLS, Scene, do_jobs


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with NatsServer(jetstream=True) as server:
        yield Scene(server, tmp_path)


@pytest.mark.live
@pytest.mark.slow
async def test_a_few_jobs_survive_the_death_of_a_worker(scene: Scene) -> None:
    books = await do_jobs(scene, "workers", jobs=300, kills=1)
    assert (books.lost, books.dead_letters, books.unexplained) == (0, 0, []), str(books)


@pytest.mark.live
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", KILLERS)
async def test_jobs_survive_twenty_deaths(scene: Scene, victim: str) -> None:
    books = await do_jobs(scene, victim, jobs=10_000, kills=KILLS)
    print(f"\n{victim}: {books}")
    assert (books.lost, books.dead_letters) == (0, 0), str(books)
    # When a server comes back, a process may be so slow that it is told too late what others have.
    most = 20 if victim == "servers" else 0
    assert len(books.unexplained) <= most, str(books)

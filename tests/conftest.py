"""Fixtures for all tests, and how long Hypothesis may take: as long as a loaded machine needs."""

import pytest
from hypothesis import HealthCheck, settings

from natsrpc.codecs import registry

pytest_plugins = ["natsrpc.testing.fixtures"]

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture
def restored_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget at the end of the test which codecs it registered."""
    for table in ("_by_name", "_by_content_type"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))

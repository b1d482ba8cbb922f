"""Fixtures for all tests, and how long Hypothesis may take: as long as a loaded machine needs."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["natsrpc.testing.fixtures"]

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

"""Fixtures for all tests."""

pytest_plugins = ["natsrpc.testing.fixtures"]

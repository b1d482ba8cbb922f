"""A connection and a subscription are each one class that has its parts."""

from __future__ import annotations

from natsrpc.core import Connection, Subscription


def test_each_is_one_class() -> None:
    assert Connection.__mro__ == (Connection, object)
    assert Subscription.__mro__ == (Subscription, object)

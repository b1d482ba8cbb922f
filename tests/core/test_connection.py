"""What users see of a connection and of a subscription is what they may call."""

from __future__ import annotations

from natsrpc.core import Connection, Subscription
from tests.core.connected import connected

CONNECTION = """
buffered close connected_server_id connected_url discovered_servers drain events flush
force_reconnect is_closed is_connected is_draining is_reconnecting last_error link local_address
max_payload new_inbox options publish publish_msg request request_many rtt server_address
server_info servers set_callback stats status subscribe subscriptions wait_closed
"""

SUBSCRIPTION = """
clear_max_pending delivered drain dropped end_error is_draining is_valid kind max_msgs max_pending
next_msg on_closed pending_bytes pending_limits pending_msgs queue_group set_pending_limits sid
subject unsubscribe
"""


def public_names(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


async def test_a_connection_and_a_subscription_have_no_other_public_names() -> None:
    async with connected() as (nc, _, _):
        assert public_names(nc) == CONNECTION.split()
        assert public_names(await nc.subscribe("a")) == SUBSCRIPTION.split()


def test_each_is_one_class() -> None:
    assert Connection.__mro__ == (Connection, object)
    assert Subscription.__mro__ == (Subscription, object)

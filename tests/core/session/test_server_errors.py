"""Every `-ERR` text of nats-server: what it becomes, and whether the connection ends with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core.session.server_errors import classify
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    AuthRevokedError,
    ConnectError,
    MaxConnectionsError,
    MaxSubscriptionsError,
    NatsError,
    PermissionsError,
    ServerClosedConnectionError,
    ServerError,
    StaleConnectionError,
)

TABLE: list[tuple[str, type[NatsError], bool]] = [
    ("Unknown Protocol Operation", ServerClosedConnectionError, True),
    ("Authorization Violation", AuthorizationError, True),
    ("Authentication Timeout", ConnectError, True),
    ("User Authentication Expired", AuthExpiredError, True),
    ("Account Authentication Expired", AuthExpiredError, True),
    ("User Authentication Revoked", AuthRevokedError, True),
    ("maximum connections exceeded", MaxConnectionsError, True),
    ("maximum account active connections exceeded", MaxConnectionsError, True),
    ("Maximum Payload Violation", ServerClosedConnectionError, True),
    ("maximum control line exceeded", ServerClosedConnectionError, True),
    ("Stale Connection", StaleConnectionError, True),
    ("invalid client protocol", ServerClosedConnectionError, True),
    ("no responders requires headers support", ServerClosedConnectionError, True),
    ("attempted to connect to route port", ConnectError, True),
    ("attempted to connect to leaf node port", ConnectError, True),
    ("maximum subscriptions exceeded", MaxSubscriptionsError, False),
    ("Invalid Subject", ServerError, False),
    ("Invalid Publish Subject", ServerError, False),
    ("Failed Account Registration", ServerError, False),
    ("Something Never Seen", ServerError, True),
    ("", ServerError, True),
]


@pytest.mark.parametrize(("text", "kind", "closes"), TABLE, ids=lambda value: str(value))
def test_a_text_has_its_error_and_its_end(text: str, kind: type[NatsError], closes: bool) -> None:
    for variant in (text, text.upper(), text.lower(), f" {text} "):
        verdict = classify(variant)
        assert type(verdict.error) is kind
        assert verdict.closes is closes


def test_each_verdict_is_an_error_of_its_own() -> None:
    assert classify("Stale Connection").error is not classify("Stale Connection").error


PERMISSIONS: list[tuple[str, dict[str, object]]] = [
    ('Permissions Violation for Publish to "Foo.Bar"',
     {"operation": "publish", "subject": "Foo.Bar"}),
    ('Permissions Violation for Publish to "a", too many tokens',
     {"operation": "publish", "subject": "a"}),
    ('Permissions Violation for Publish with Reply of "_R_.X"',
     {"operation": "publish", "subject": "", "reply": "_R_.X"}),
    ('Permissions Violation for Subscription to "Orders.>"',
     {"operation": "subscribe", "subject": "Orders.>", "queue_group": "", "sid": None}),
    ('Permissions Violation for Subscription to "a" using queue "Q.1"',
     {"operation": "subscribe", "subject": "a", "queue_group": "Q.1", "sid": None}),
    ('Permissions Violation for Subscription to "a" (sid "12")',
     {"operation": "subscribe", "subject": "a", "queue_group": "", "sid": 12}),
    ('Permissions Violation for Subscription to "a" using queue "q" (sid "12")',
     {"operation": "subscribe", "subject": "a", "queue_group": "q", "sid": 12}),
    (r'Permissions Violation for Subscription to "a\"b\\c\x01\u00e9"',
     {"operation": "subscribe", "subject": 'a"b\\c\x01é'}),
    (r'Permissions Violation for Subscription to "\U00110000\Uffffffff\ud800\U0001f600"',
     {"operation": "subscribe", "subject": "\ufffd\ufffd\ufffd\U0001f600"}),
    ('Permissions Violation for Subscription to "a" (sid "%s")' % ("1" * 5000),
     {"operation": "subscribe", "subject": "a", "sid": None}),
    ("Permissions Violation for something of the future",
     {"operation": "", "subject": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "facts"), PERMISSIONS, ids=lambda value: str(value)[:60])
def test_a_permission_error_names_what_was_denied_in_its_own_case(
    text: str, facts: dict[str, object]
) -> None:
    for variant in (text, text.replace("Permissions Violation", "permissions violation")):
        verdict = classify(variant)
        assert isinstance(verdict.error, PermissionsError)
        assert verdict.closes is False
        assert {name: getattr(verdict.error, name) for name in facts} == facts
        assert verdict.error.text == variant
        assert variant in str(verdict.error)


@given(st.text() | st.text().map(lambda tail: f"Permissions Violation for Publish to {tail}"))
def test_any_text_has_a_verdict(text: str) -> None:
    assert isinstance(classify(text).error, NatsError)

"""What the JetStream needs of the broker that it stands behind."""

from __future__ import annotations

from typing import Protocol


class Wire(Protocol):
    """Subscriptions of clients, as a server's own parts reach them."""

    def has_interest(self, subject: str) -> bool:
        """Whether somebody is subscribed to a subject."""
        ...

    def send(
        self, to: str, subject: str, data: bytes, *, reply: str = "", headers: bytes = b""
    ) -> None:
        """Deliver a message to the subscriptions that match `to`. What it says of itself is
        `subject`: messages of a stream come to an inbox and keep their own."""
        ...

    def publish_own(self, subject: str, data: bytes, headers: bytes = b"") -> None:
        """Publish as a server does: to subscriptions, and to streams."""
        ...

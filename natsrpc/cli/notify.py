"""What systemd is told, where it asks: `sd_notify` over the socket in `NOTIFY_SOCKET`.

Ref: sd_notify(3), systemd.service(5) on `Type=notify` and `Type=notify-reload`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Notifier"]


class Notifier:
    """Tells systemd of a state; does nothing where it does not ask.

    `watchdog` is the number of seconds between two signs of life; 0 if none are asked for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog: float = 0.0
        told, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        if self._address and told.isdigit() and pid in ("", str(os.getpid())):
            self.watchdog = int(told) / 1e6 / 2  # as its manual advises

    def ready(self, status: str) -> None:
        """The services are served."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The services are drained."""
        self._send("STOPPING=1\nSTATUS=draining")

    def alive(self) -> None:
        """The supervisor runs."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM
        try:
            with socket.socket(socket.AF_UNIX, kind) as out:
                out.setblocking(False)
                out.sendto(state.encode(), self._address)
        except (OSError, AttributeError):  # systemd is gone, or there is no such socket here
            pass

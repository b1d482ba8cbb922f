"""Ports that stay reserved for a server while it is down. `NatsServer` and `Cluster` hold them."""

from __future__ import annotations

import socket
import sys


def hold_port(host: str, port: int = 0) -> socket.socket | None:
    """Reserve a port for a server that comes and goes. Close the socket to end the reservation.

    The socket is bound and does not listen. On Linux a server that asks for this port by its number
    still gets it, while nobody who asks for any free port (0) does. Without that, tests that run
    side by side would take each other's ports while a server restarts.

    Args:
        host: the address, IPv4 or IPv6.
        port: the port; 0 means a free one.

    Returns:
        The socket; None where the port is taken, and on other systems, where the socket would be in
        the way of the server itself.
    """
    if sys.platform != "linux":
        return None
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
    except OSError:
        holder.close()
        return None
    return holder

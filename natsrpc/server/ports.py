"""Ports that stay with the server that chose them, also while it is down."""

from __future__ import annotations

import socket
import sys

__all__ = ["hold_port"]


def hold_port(host: str, port: int = 0) -> socket.socket | None:
    """Hold a port, a free one if it is 0, for a server that comes and goes; None if it cannot be.

    It is a socket that is bound and does not listen. On Linux a server that asks for the port by
    its number gets it all the same, and nobody does who takes any that is free: those of one test
    run would else take the ports of another's servers while these restart. Elsewhere such a socket
    would be in the way of the server itself.
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

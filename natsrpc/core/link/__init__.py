"""The link: what stays of a connection while sessions come and go."""

from .link import Link
from .outbound import Outbound

__all__ = [
    "Link",
    "Outbound",
]

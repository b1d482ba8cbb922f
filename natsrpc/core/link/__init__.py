"""The link: what outlives a session. It dials, buffers, replays and hands over."""

from .link import Link

__all__ = [
    "Link",
]

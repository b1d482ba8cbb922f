"""`BUILDING`: the lock that is held while pydantic builds validators, for `typed`.

pydantic's core has locks of its own for what it makes once a process. A process that is forked
while another thread holds one of them would wait for it for ever, at the first type that it binds.
So a fork waits for what is being built.
"""

from __future__ import annotations

import os
import threading

__all__ = ["BUILDING"]

BUILDING = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=BUILDING.acquire,
        after_in_parent=BUILDING.release,
        after_in_child=BUILDING.release,
    )

"""The service `orders`: two modules that know nothing of each other, under one prefix."""

from __future__ import annotations

import natsrpc

from . import placing, reading
from .api import events, placed
from .database import database
from .tables import Base

service = natsrpc.Service(
    "orders", version="1.0.0", lifespan=database(Base), publishes=[placed], streams=[events]
)
service.include(placing.router, prefix="orders")
service.include(reading.router, prefix="orders")

"""A worker that charges, in a process of its own, which is killed amid its work:
`python -m tests.soak.once URL DATABASE`. Charge and key are in one transaction."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing

from pydantic import BaseModel

import natsrpc
from natsrpc.durable import SqlTable
from natsrpc.jetstream import StreamConfig


class Charge(BaseModel):
    order_id: str


charged = natsrpc.Event("once.jobs", Charge, key="order_id")
STREAM = StreamConfig(name="ONCE", subjects=["once.>"], retention="workqueue")
service = natsrpc.Service("once", version="1.0.0", streams=[STREAM])


def opened(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")  # processes are killed, not machines
    return database


def prepare(path: str) -> None:
    with closing(opened(path)) as database, database:
        database.execute(SqlTable(database.execute).schema)
        database.execute("CREATE TABLE effects (order_id TEXT)")
        database.execute("CREATE TABLE deliveries (order_id TEXT)")


@service.worker(
    charged,
    stream="ONCE",
    durable="billing",
    max_concurrency=16,
    ack_wait=1.0,
    retry=natsrpc.Retry(attempts=100, wait=0.1),
)
def charge(event: Charge) -> None:
    order = event.order_id
    with (
        closing(opened(sys.argv[2])) as database,
        database,
        natsrpc.once(f"charge-{order}", SqlTable(database.execute)) as is_first,
    ):
        database.execute("INSERT INTO deliveries VALUES (?)", (order,))
        if is_first:
            database.execute("INSERT INTO effects VALUES (?)", (order,))
    time.sleep(0.01)  # why: between the commit and the ack there is time to be killed


if __name__ == "__main__":
    natsrpc.run(service, servers=sys.argv[1], reconnect_wait=0.05, max_reconnect_attempts=-1)

"""A Flask application that calls a service: a blocking client at the top of the module.

natsrpc run examples/services/helpdesk.py
flask --app examples/services/storefront.py run
curl http://127.0.0.1:5000/help/nats
"""

from __future__ import annotations

import os

import flask

import natsrpc
import natsrpc.sync

app = flask.Flask(__name__)

# Lazy: the module imports where there is no server, and each worker process that is forked off
# this one has a connection of its own. All threads of a process share it.
desk = natsrpc.sync.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), lazy=True)


@app.get("/help/<topic>")
def ask(topic: str) -> dict[str, object]:
    """Ask the help desk, and answer with its answer."""
    return desk.call("help", {"topic": topic}, dict[str, object], timeout=2.0)


@app.errorhandler(natsrpc.RpcError)
def refused(error: natsrpc.RpcError) -> tuple[dict[str, object], int]:
    """Answer as the service did: its codes are those of HTTP."""
    status = error.code if 400 <= error.code < 600 else 500
    return {"error": error.name, "message": error.message}, status


@app.errorhandler(natsrpc.NatsError)
def unavailable(error: natsrpc.NatsError) -> tuple[dict[str, object], int]:
    """Nobody serves, nobody answers in time, or there is no connection."""
    return {"error": type(error).__name__, "message": "try again later"}, 503


if __name__ == "__main__":
    app.run()

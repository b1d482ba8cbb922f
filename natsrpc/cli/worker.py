"""One worker process: serves until its supervisor, or a signal, asks it to drain.

Started as `python -m natsrpc.cli.worker`. It opens a connection to the supervisor's loopback port,
shows the token from its environment, and reads there what to run; so nothing secret stands in a
command line. It says `ready` once its services can be found, or `failed` and why. The end of
that connection means that the supervisor is gone, and the worker drains: no orphan serves on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from typing import Any

from natsrpc.errors import NatsRpcError

__all__ = ["CONTROL_VARIABLE", "main", "on_signals"]

CONTROL_VARIABLE = "NATSRPC_CONTROL"


def main() -> int:
    """Run one worker. Returns the process's exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
    )
    control = os.environ.pop(CONTROL_VARIABLE, "")
    if not control:
        print("this module is started by `natsrpc run`", file=sys.stderr)
        return 2
    port, _, token = control.partition(":")
    factory = None
    if os.environ.pop("NATSRPC_UVLOOP", ""):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_work(int(port), token))


async def _work(port: int, token: str) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # the supervisor has gone in the meantime
        return 1
    stop = asyncio.Event()
    on_signals(stop.set, signal.SIGTERM, signal.SIGINT)

    def tell(**fields: Any) -> None:
        writer.write(json.dumps(fields).encode() + b"\n")

    tell(token=token, pid=os.getpid())
    settings = json.loads(await reader.readline() or b"null")
    if settings is None:
        return 1
    try:
        await _serve(settings, reader, stop, tell)
    except NatsRpcError as error:
        tell(failed=str(error))
        return 1
    except Exception:  # the user's module or lifespan: they want its traceback
        tell(failed=traceback.format_exc().rstrip())
        return 1
    finally:
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    return 0


async def _serve(
    settings: dict[str, Any], reader: asyncio.StreamReader, stop: asyncio.Event, tell: Any
) -> None:
    from natsrpc.rpc import connect

    from .target import load_services

    services = load_services(settings["target"])
    options = {
        key: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
        for key, value in settings["options"].items()
    }
    # a worker waits for its servers for as long as they take
    client = await connect(settings["servers"], **{"max_reconnect_attempts": -1} | options)
    try:
        async with client.serve(*services):
            tell(ready=True)
            waits = [
                asyncio.ensure_future(stop.wait()),
                asyncio.ensure_future(reader.read(1)),
                asyncio.ensure_future(client.connection.wait_closed()),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
        if client.connection.is_closed:
            error = client.connection.last_error
            raise NatsRpcError(f"the connection was closed: {error}")
        await client.drain()
    finally:
        await client.close()


def on_signals(action: Any, *signals: int) -> None:
    """Call `action` in the running loop at each of these signals."""
    loop = asyncio.get_running_loop()
    for number in signals:
        try:
            loop.add_signal_handler(number, action)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))


if __name__ == "__main__":
    sys.exit(main())

"""The program of one worker process. The supervisor starts it as `python -m natsrpc.cli.worker`.

A worker serves until its supervisor, or a signal, asks it to drain. The two talk over a loopback
connection, in lines of JSON:

1. the worker connects to the port in its environment and sends the token that is there, too;
2. the supervisor sends the settings: target, servers, options. So no secret is in a command line;
3. the worker sends `ready` once its services can be found, or `failed` and why;
4. any line from the supervisor, and also the end of the connection, means: drain. A worker whose
   supervisor is gone so ends, too.
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
from collections.abc import Callable
from typing import Any

from natsrpc.errors import NatsRpcError, NoServersError

__all__ = ["CONTROL_VARIABLE", "main", "on_signals"]

CONTROL_VARIABLE = "NATSRPC_CONTROL"
"""The environment variable with the supervisor's `port:token`."""


def main() -> int:
    """Run one worker, and return the exit code of the process: 0 after a drain, 1 after a failure,
    2 where no supervisor has started it."""
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
    from natsrpc.rpc import Stopping

    stopping = Stopping()
    on_signals(stopping.signal, signal.SIGTERM, signal.SIGINT)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # the supervisor has gone in the meantime
        return 1

    def tell(**fields: Any) -> None:
        writer.write(json.dumps(fields).encode() + b"\n")

    tell(token=token)
    settings = json.loads(await reader.readline() or b"null")
    if settings is None:
        return 1
    listening = asyncio.ensure_future(_drain_when_told(reader, stopping.drain))
    try:
        return await _serve(settings, stopping, tell)
    except NoServersError as error:
        tell(failed=f"{error}; --embedded starts one, --server or NATS_URL names another")
        return 1
    except NatsRpcError as error:
        tell(failed=str(error))
        return 1
    except Exception:  # from the user's module or lifespan: the user wants the traceback
        tell(failed=traceback.format_exc().rstrip())
        return 1
    finally:
        listening.cancel()
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def _drain_when_told(reader: asyncio.StreamReader, drain: asyncio.Event) -> None:
    """Set `drain` when the supervisor sends a line, or its connection ends."""
    with contextlib.suppress(OSError):
        await reader.readline()
    drain.set()


async def _serve(settings: dict[str, Any], stopping: Any, tell: Callable[..., None]) -> int:
    from natsrpc.rpc import serve_until

    from .target import load_services

    services = load_services(settings["target"])
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
        for key, value in settings["options"].items()
    }
    # a worker waits for lost servers without end: if it gave up, its replacement would fail, too
    options.setdefault("max_reconnect_attempts", -1)
    return await serve_until(
        stopping,
        *services,
        servers=settings["servers"],
        on_ready=lambda: tell(ready=True),
        **options,
    )


def on_signals(action: Callable[[], object], *signals: int) -> None:
    """Have the running loop call `action` at each of these signals."""
    loop = asyncio.get_running_loop()
    for number in signals:
        try:
            loop.add_signal_handler(number, action)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))


if __name__ == "__main__":
    sys.exit(main())

"""The cost of what a handler asks for besides its body: CPU over that of a bare handler.

Two handlers take the same requests, with the same headers: a bare one, and one with `Depends` (an
async function that reads a header itself), `Header`, `Context` and one middleware. Service and
caller are in this one process; windows of both alternate, and the caller sends bytes, so that the
difference is the dispatch alone. Beside it stands what FastAPI and FastStream take to resolve the
same parameters by their own functions, without any network: of each, the full signature less the
bare one. Theirs is without a middleware.

    python -m benchmarks.resolving [--seconds 0.5] [--rounds 11] [--limit 8] [--ratio 0.2]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import natsrpc
from benchmarks.models import ORDER, Order
from benchmarks.tax import window
from natsrpc.core import connect
from natsrpc.testing import NatsServer

HEADERS = {"X-Tenant": "acme", "X-User": "ada", "X-Trace": "4bf92f3577b34da6a3ce929d0e0e4736"}
BODY = ORDER.model_dump_json().encode()

Solve = Callable[[], Awaitable[object]]

bare_service = natsrpc.Service("bare", version="1.0.0")
full_service = natsrpc.Service("full", version="1.0.0")


@bare_service.handler("resolving.bare")
async def bare(order: Order) -> None:
    """Take the body alone."""


async def user(name: Annotated[str, natsrpc.Header("X-User")]) -> str:
    """Stand for an authorization."""
    return name


@full_service.middleware
async def pass_on(context: natsrpc.Context, call_next: natsrpc.Next[natsrpc.Context]) -> Any:
    """Do nothing, as every middleware does at least."""
    return await call_next(context)


@full_service.handler("resolving.full")
async def full(
    order: Order,
    user: Annotated[str, natsrpc.Depends(user)],
    tenant: Annotated[str, natsrpc.Header("X-Tenant")],
    context: natsrpc.Context,
) -> None:
    """Take all that there is."""


async def ours(url: str, seconds: float, rounds: int) -> list[tuple[float, float]]:
    """Return the CPU microseconds of a bare and of a full request, a window of each in turns."""
    pairs = []
    async with (
        connect(url) as caller,
        natsrpc.connect(url) as worker,
        worker.serve(bare_service, full_service),
    ):

        def asking(subject: str) -> Solve:
            async def ask() -> object:
                return await caller.request(subject, BODY, headers=HEADERS)

            return ask

        for subject in ("resolving.bare", "resolving.full"):
            reply = await caller.request(subject, BODY, headers=HEADERS)
            assert not reply.data, reply
            assert "Nats-Service-Error" not in reply.headers, reply.headers
            await window(asking(subject), seconds)
        for number in range(rounds):
            found = {}
            for subject in ("bare", "full") if number % 2 else ("full", "bare"):
                found[subject] = await window(asking(f"resolving.{subject}"), seconds)
            pairs.append((found["bare"], found["full"]))
    return pairs


async def alone(solve: Solve, seconds: float) -> float:
    """Return the CPU microseconds of one call, one after another."""
    gc.collect()
    count = 0
    began = time.process_time()
    while time.process_time() < began + seconds:
        for _ in range(100):
            await solve()
        count += 100
    return (time.process_time() - began) / count * 1e6


async def peers(
    contestants: dict[str, tuple[Solve, Solve]], seconds: float, rounds: int
) -> dict[str, float]:
    """Return the medians of what the full signature takes over the bare one."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (simple, rich) in contestants.items():
            before, after = await alone(simple, seconds), await alone(rich, seconds)
            found[name].append(after - before)
    return {name: statistics.median(each) for name, each in found.items()}


def fastapi_solvers() -> tuple[Solve, Solve]:
    """FastAPI's `solve_dependencies` on a request with the same headers."""
    params: Any = importlib.import_module("fastapi")
    utils: Any = importlib.import_module("fastapi.dependencies.utils")
    body = ORDER.model_dump()

    async def login(name: Annotated[str, params.Header(alias="X-User")]) -> str:
        return name

    async def simple(order: Order) -> None: ...

    async def rich(
        order: Order,
        user: Annotated[str, params.Depends(login)],
        tenant: Annotated[str, params.Header(alias="X-Tenant")],
        request: params.Request,
    ) -> None: ...

    # what annotations name is in this function, where FastAPI does not look for it
    login.__annotations__ = {"name": Annotated[str, params.Header(alias="X-User")]}
    rich.__annotations__ = {
        "order": Order,
        "user": Annotated[str, params.Depends(login)],
        "tenant": Annotated[str, params.Header(alias="X-Tenant")],
        "request": params.Request,
    }

    def solver(handler: Callable[..., Awaitable[object]]) -> Solve:
        dependant = utils.get_dependant(path="/", call=handler)
        raw = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

        async def solve() -> object:
            async with contextlib.AsyncExitStack() as stack:
                scope = {
                    "type": "http",
                    "headers": raw,
                    "path_params": {},
                    "query_string": b"",
                    "fastapi_inner_astack": stack,
                    "fastapi_function_astack": stack,
                }
                solved = await utils.solve_dependencies(
                    request=params.Request(scope),
                    dependant=dependant,
                    body=body,
                    async_exit_stack=stack,
                    embed_body_fields=False,
                )
                assert not solved.errors, solved.errors
                return await handler(**solved.values)

        return solve

    return solver(simple), solver(rich)


def faststream_solvers() -> tuple[Solve, Solve]:
    """FastStream's call, as its subscribers make it, on a message with the same headers."""
    stream: Any = importlib.import_module("faststream")
    params: Any = importlib.import_module("faststream.params")
    config: Any = importlib.import_module("faststream._internal.di.config")
    body = ORDER.model_dump()

    class Message:
        headers = HEADERS

        async def decode(self) -> object:
            return body

    message = Message()

    async def login(name: str) -> str:
        return name

    login.__annotations__ = {"name": Annotated[str, params.Header("X-User")]}

    async def simple(order: Order) -> None: ...

    async def rich(order: Order, user: str, tenant: str, context: Any) -> None: ...

    rich.__annotations__ = {
        "order": Order,
        "user": Annotated[str, stream.Depends(login)],
        "tenant": Annotated[str, params.Header("X-Tenant")],
        "context": Annotated[Any, stream.Context("message")],
    }

    def solver(handler: Callable[..., Awaitable[object]]) -> Solve:
        settings = config.FastDependsConfig()
        call: Any = settings.build_call(handler).wrapped_call

        async def solve() -> object:
            with settings.context.scope("message", message):
                return await call(message)

        return solve

    return solver(simple), solver(rich)


def available() -> dict[str, tuple[Solve, Solve]]:
    """The peers that are installed; one that is missing is reported."""
    found: dict[str, tuple[Solve, Solve]] = {}
    for name, make in (("FastAPI", fastapi_solvers), ("FastStream", faststream_solvers)):
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name} is not measured: {error}")
    return found


def main() -> None:
    """Measure and print; exit with 1 if the cost is over a limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resolving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="a window (default 0.5)")
    parser.add_argument("--rounds", type=int, default=11, help="windows of each (default 11)")
    parser.add_argument("--limit", type=float, default=8.0, help="microseconds (default 8)")
    parser.add_argument("--ratio", type=float, default=0.2, help="of each peer's (default 0.2)")
    arguments = parser.parse_args()
    with NatsServer() as server:
        pairs = asyncio.run(ours(server.url, arguments.seconds, arguments.rounds))
    costs = [after - before for before, after in pairs]
    cost = statistics.median(costs)
    print(
        f"Python {platform.python_version()}, CPU of service and caller added, medians of "
        f"{arguments.rounds} windows:\n"
        f"bare {statistics.median(before for before, _ in pairs):.1f} us, "
        f"full {statistics.median(after for _, after in pairs):.1f} us, "
        f"cost {cost:.1f} us (windows {min(costs):.1f} to {max(costs):.1f})"
    )
    well = cost <= arguments.limit
    theirs = asyncio.run(peers(available(), arguments.seconds, arguments.rounds))
    for name, each in theirs.items():
        print(f"{name} resolves the same in {each:.1f} us: ours is {cost / each:.2f} of it")
        well = well and cost <= arguments.ratio * each
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()

"""`natsrpc bench`: puts load on an endpoint and prints how long its answers take."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Annotated, Any

import typer

from natsrpc.errors import NatsRpcError, RpcError
from natsrpc.rpc import Client, connect

from .call import read_body, read_header, read_request
from .command import exit_code
from .context import Destination
from .duration import parse_seconds
from .output import print_json, say
from .query import AsJson

__all__ = ["bench"]

_BAR = 40
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


async def bench(
    destination: Destination,
    subject: Annotated[str, typer.Argument(help="Where to send the requests.")],
    body: Annotated[
        str | None,
        typer.Argument(help="The request as JSON; `-` reads it from stdin, `@FILE` from a file."),
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", "-n", min=1, help="How many to send.")
    ] = 10_000,
    in_flight: Annotated[
        int, typer.Option("--in-flight", "-c", min=1, help="How many wait for an answer at once.")
    ] = 64,
    connections: Annotated[int, typer.Option(min=1, help="Connections that they share.")] = 1,
    duration: Annotated[str, typer.Option(help="End after so long, whatever is left.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, as `Name: value`.")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", help="How long to wait for each answer.")
    ] = "5s",
    codec: Annotated[str, typer.Option(help="How the bytes are made: json, msgpack, …")] = "json",
    raw: Annotated[bool, typer.Option("--raw", help="Send bytes as they are.")] = False,
    json: AsJson = False,
) -> int:
    """Call SUBJECT many times; print rate, percentiles, errors and a histogram. Ctrl-C ends it
    before, and prints those of what was answered.

    The exit code is that of the last error, if there was one.
    """
    load = _Load(
        subject,
        read_request(read_body(body), raw=raw),
        bytes if raw else Any,
        dict(read_header(each) for each in header or ()) or None,
        parse_seconds(timeout),
    )
    ends = parse_seconds(duration) if duration else None
    options = {**destination.options, "codec": "raw" if raw else codec, "name": "natsrpc bench"}
    clients = [await connect(destination.servers, **options) for _ in range(connections)]
    try:
        # the first shows whether there is anything to measure, and is not counted
        await load.once(clients[0])
        try:
            await load.run(clients, requests, in_flight, ends)
        finally:  # interrupted or not
            if json:
                print_json(load.told())
            else:
                load.show(in_flight)
    finally:
        for client in clients:
            await client.close()
    return load.last_code


class _Load:
    """The calls of one run: seconds that they took, errors by kind."""

    def __init__(
        self,
        subject: str,
        request: Any,
        returns: Any,
        headers: dict[str, str] | None,
        timeout: float,
    ) -> None:
        self._subject = subject
        self._request = request
        self._returns = returns
        self._headers = headers
        self._timeout = timeout
        self._took: list[float] = []
        self._errors: Counter[str] = Counter()
        self._seconds = 0.0
        self.last_code = 0

    async def once(self, client: Client) -> None:
        """Make one call."""
        await client.call(
            self._subject,
            self._request,
            self._returns,
            timeout=self._timeout,
            headers=self._headers,
        )

    async def run(
        self, clients: list[Client], requests: int, in_flight: int, ends: float | None
    ) -> None:
        """Make all calls, and note the seconds that this took."""
        began = time.perf_counter()
        limit = None if ends is None else began + ends
        left = iter(range(requests))

        async def work(client: Client) -> None:
            for _ in left:
                if limit is not None and time.perf_counter() >= limit:
                    return
                start = time.perf_counter()
                try:
                    await self.once(client)
                except NatsRpcError as error:
                    told = f"{error.code} {error.name}" if isinstance(error, RpcError) else ""
                    self._errors[told or type(error).__name__] += 1
                    self.last_code = exit_code(error)
                else:
                    self._took.append(time.perf_counter() - start)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(in_flight):
                    group.create_task(work(clients[number % len(clients)]))
        finally:
            self._took.sort()
            self._seconds = time.perf_counter() - began

    def _at(self, share: float) -> float:
        """The milliseconds within which this share of the calls was answered."""
        took = self._took
        return 1000 * took[min(len(took) - 1, int(share * len(took)))] if took else 0.0

    def told(self) -> dict[str, Any]:
        """The figures as plain data."""
        took, seconds = self._took, self._seconds
        return {
            "answered": len(took),
            "errors": dict(self._errors),
            "seconds": round(seconds, 3),
            "calls_per_second": round(len(took) / seconds, 1) if seconds else 0.0,
            "milliseconds": {
                "min": round(1000 * took[0], 3) if took else 0.0,
                "mean": round(1000 * sum(took) / len(took), 3) if took else 0.0,
                **{name: round(self._at(share), 3) for name, share in _SHARES.items()},
                "max": round(1000 * took[-1], 3) if took else 0.0,
            },
        }

    def show(self, in_flight: int) -> None:
        """Print the figures, and how the times are spread."""
        told = self.told()
        print(f"answered   {told['answered']} in {told['seconds']} s, {in_flight} in flight")
        print(f"calls/s    {told['calls_per_second']:.0f}")
        for name, value in told["milliseconds"].items():
            print(f"{name:<10} {value:>9.3f} ms")
        for name, count in sorted(self._errors.items()):
            say(f"error: {count} x {name}")
        bounds = [bound for bound in _bounds() if bound >= told["milliseconds"]["min"]]
        counts: Counter[float] = Counter()
        for each in self._took:
            counts[next(bound for bound in bounds if 1000 * each <= bound)] += 1
        most = max(counts.values(), default=0)
        for bound in sorted(counts):
            bar = "█" * max(1, round(_BAR * counts[bound] / most))
            print(f"≤ {bound:>8g} ms  {counts[bound]:>8}  {bar}")


def _bounds() -> list[float]:
    """Upper bounds of the histogram's rows, in milliseconds: 1, 2, 5 of each decade."""
    found = [round(step * 10.0**power, 6) for power in range(-3, 6) for step in (1, 2, 5)]
    return [*found, float("inf")]

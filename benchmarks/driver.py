"""Runs scenarios. The command line makes one `Driver`.

The processes of all peers run side by side, and the measured windows alternate between the peers,
so that a change of the machine's speed meets all of them alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.models import ORDER
from benchmarks.process import ROOT, Blaster, Process, WorkerError, free_port
from benchmarks.scenarios import Calls, Deliver, Idle, Import, Publish, Scenario, Stored, Waiting
from benchmarks.stores import prepare
from natsrpc.testing import NatsServer

Round = dict[str, float]

IMPORTS = {
    "natsrpc": "natsrpc.core",
    "nats-py": "nats",
    "natsio": "natsio; natsio.connect",
    "nats-core": "nats.client",
    "natsrpy": "natsrpy",
    "faststream": "faststream.nats",
    "grpc.aio": "grpc.aio",
}
MORE_IMPORTS = {
    "natsrpc (typed)": "natsrpc; natsrpc.Client",
    # pydantic comes with the codec, which is loaded by the first connection that uses it
    "natsrpc (typed, JSON)": "natsrpc; natsrpc.Client, natsrpc.codecs.get('json')",
    "pydantic alone": "pydantic; pydantic.TypeAdapter, pydantic.BaseModel",
}


@dataclass
class Found:
    """The figures of one peer in one scenario: a row for each round, or why there are none."""

    rounds: list[Round] = field(default_factory=list)
    why_not: str = ""

    def medians(self) -> Round:
        """The median of each figure."""
        names = self.rounds[0] if self.rounds else ()
        return {name: statistics.median(row[name] for row in self.rounds) for name in names}


@dataclass
class Driver:
    """Runs scenarios over one nats-server."""

    server: NatsServer
    loop: str
    seconds: float
    rounds: int
    say: Callable[[str], None]

    def run(self, scenario: Scenario, peers: Sequence[str]) -> dict[str, Found]:
        """Measure all rounds of one scenario for all peers."""
        found = {peer: Found() for peer in peers}
        if isinstance(scenario, Import):
            return self._imports(peers)
        benches: dict[str, Bench] = {}
        try:
            for peer in peers:
                try:
                    benches[peer] = self._bench(scenario, peer)
                except WorkerError as error:
                    found[peer].why_not = str(error)
            for number in range(self.rounds):
                for peer in _turned(list(benches), number):
                    self.say(f"{scenario.name}: round {number + 1} of {self.rounds}, {peer}")
                    try:
                        found[peer].rounds.append(benches[peer].measure())
                    except WorkerError as error:
                        found[peer].why_not = str(error)
                        benches.pop(peer).stop()
        finally:
            for bench in benches.values():
                bench.stop()
        return found

    def _bench(self, scenario: Scenario, peer: str) -> Bench:
        bench = _KINDS[type(scenario)](scenario, peer, self)
        try:
            bench.start()
        except WorkerError:
            bench.stop()
            raise
        return bench

    def _imports(self, peers: Sequence[str]) -> dict[str, Found]:
        wanted = {peer: IMPORTS[peer] for peer in peers if peer in IMPORTS}
        if "natsrpc" in peers:
            wanted |= MORE_IMPORTS
        found = {name: Found() for name in wanted}
        for number in range(max(5, self.rounds)):
            for name in _turned(list(wanted), number):
                if not found[name].why_not:
                    _import_once(wanted[name], found[name])
        return found


def _turned(names: list[str], number: int) -> list[str]:
    """The names, turned so that each round starts with another peer."""
    turn = number % len(names) if names else 0
    return names[turn:] + names[:turn]


def _import_once(modules: str, found: Found) -> None:
    code = (
        "import sys, time; cpu = time.process_time()\n"
        f"import {modules}\n"
        "print(time.process_time() - cpu, len(sys.modules))"
    )
    # The first round compiles our modules, as installed packages are; the median drops that round.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, text=True, capture_output=True, check=False
    )
    if done.returncode:
        found.why_not = "not installed: " + done.stderr.strip().rsplit("\n", 1)[-1]
        return
    cpu, count = done.stdout.split()
    found.rounds.append({"cpu_us": float(cpu) * 1e6, "modules": float(count)})


class Bench:
    """The processes of one peer for one scenario, ready to be measured."""

    def __init__(self, scenario: Any, peer: str, driver: Driver) -> None:
        self.scenario = scenario
        self.peer = peer
        self.driver = driver
        self.subject = f"bench.{scenario.name}.{peer.replace('.', '-')}"
        self.processes: list[Process] = []
        self.port = free_port()

    def worker(self) -> Process:
        """Start one more process of the peer, connect it, and return it.

        Raises:
            WorkerError: the peer is not installed, or does not offer the scenario.
        """
        process = Process(self.peer, self.driver.loop, self.port)
        self.processes.append(process)
        missing = process.do("offers", names=list(self.scenario.needs))["missing"]
        if missing:
            raise WorkerError("not offered")
        process.do("connect", url=self.driver.server.url)
        return process

    def start(self) -> None:
        """Start the processes and warm up."""
        raise NotImplementedError

    def measure(self) -> Round:
        """Measure one window, and return its figures."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.stop()


class CallBench(Bench):
    """A service and a caller."""

    def start(self) -> None:
        self.service, self.caller = self.worker(), self.worker()
        self.service.do("start", method=self.scenario.serve, subject=self.subject)
        self._window(min(0.3, self.driver.seconds))

    def _window(self, seconds: float) -> Round:
        scenario = self.scenario
        before = self.service.do("usage")
        took = self.caller.do(
            "calls",
            method=scenario.call,
            subject=self.subject,
            size=scenario.size,
            inflight=scenario.inflight,
            seconds=seconds,
        )
        after = self.service.do("usage")
        count = took["count"]
        caller, service = took["cpu"] / count * 1e6, (after["cpu"] - before["cpu"]) / count * 1e6
        return {
            "cpu_us": caller + service,
            "caller_us": caller,
            "service_us": service,
            "rate": count / took["elapsed"],
            "p50_ms": took["p50"] * 1e3,
            "p99_ms": took["p99"] * 1e3,
            "caller_peak_mib": self.caller.do("usage")["peak_kib"] / 1024,
            "service_peak_mib": after["peak_kib"] / 1024,
        }

    def measure(self) -> Round:
        return self._window(self.driver.seconds)


class PublishBench(Bench):
    """One publisher, no subscriber."""

    def start(self) -> None:
        self.publisher = self.worker()
        self.measure()

    def measure(self) -> Round:
        scenario = self.scenario
        took = self.publisher.do(
            "publish", subject=self.subject, size=scenario.size, count=scenario.count
        )
        return {
            "cpu_us": took["cpu"] / took["count"] * 1e6,
            "rate": took["count"] / took["elapsed"],
            "peak_mib": self.publisher.do("usage")["peak_kib"] / 1024,
        }


class DeliverBench(Bench):
    """One subscriber, frames from the driver."""

    def start(self) -> None:
        scenario, server = self.scenario, self.driver.server
        self.taker = self.worker()
        self.taker.do(
            "subscribe",
            method=scenario.method,
            subject=self.subject,
            count=scenario.subscriptions,
        )
        self.blaster = Blaster(server.host, server.port)
        self.measure()

    def measure(self) -> Round:
        scenario = self.scenario
        deliveries = scenario.count * scenario.subscriptions
        self.taker.do("expect", count=deliveries)
        before = self.taker.do("usage")
        self.taker.tell("all_seen", timeout=30.0)
        data = ORDER.model_dump_json().encode() if scenario.is_typed else b"x" * scenario.size
        self.blaster.publish(self.subject, data, scenario.count)
        after = self.taker.answer()
        if after["lost"]:
            raise WorkerError(f"{after['lost']} of {deliveries} messages did not arrive")
        return {
            "cpu_us": (after["cpu"] - before["cpu"]) / deliveries * 1e6,
            "peak_mib": self.taker.do("usage")["peak_kib"] / 1024,
        }

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "blaster"):
            self.blaster.close()


class OnceBench(Bench):
    """A fresh process for each round: a second measurement would find memory that is taken
    already."""

    command = ""

    def start(self) -> None:
        self.worker()
        self.stop()
        self.processes.clear()

    def measure(self) -> Round:
        with self._fresh() as process:
            took = process.do(self.command, **self.arguments())
            peak = process.do("usage")["peak_kib"] / 1024
        return {
            "cpu_us": took["cpu"] / took["count"] * 1e6,
            "bytes": took["bytes"] / took["count"],
            "peak_mib": peak,
        }

    def arguments(self) -> dict[str, Any]:
        """The arguments of the command."""
        return {"subject": self.subject, "count": self.scenario.count}

    @contextmanager
    def _fresh(self) -> Iterator[Process]:
        try:
            yield self.prepare()
        finally:
            self.stop()
            self.processes.clear()

    def prepare(self) -> Process:
        """Start the process that is measured."""
        return self.worker()


class IdleBench(OnceBench):
    """Subscriptions that get nothing."""

    command = "subscribe_idle"


class WaitingBench(OnceBench):
    """Requests that nobody answers."""

    command = "leave_waiting"

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"size": 128}

    def prepare(self) -> Process:
        self.worker().do("start", method="serve_silence", subject=self.subject)
        return self.worker()


class StoredBench(Bench):
    """One client of JetStream. What it works on is made anew for each window."""

    def start(self) -> None:
        self.client = self.worker()
        self.measure()

    def measure(self) -> Round:
        scenario, tasks = self.scenario, self.scenario.tasks
        count = max(round(scenario.count * self.driver.seconds / 0.5) // tasks, 1) * tasks
        prepare(self.driver.server.url, scenario, count)
        took = self.client.do(
            "stored", job=scenario.job, size=scenario.size, count=count, tasks=tasks
        )
        units = count * scenario.parts
        return {
            "cpu_us": took["cpu"] / units * 1e6,
            "rate": units / took["elapsed"],
            "peak_mib": self.client.do("usage")["peak_kib"] / 1024,
        }


_KINDS: dict[type[Scenario], type[Bench]] = {
    Calls: CallBench,
    Publish: PublishBench,
    Deliver: DeliverBench,
    Idle: IdleBench,
    Waiting: WaitingBench,
    Stored: StoredBench,
}

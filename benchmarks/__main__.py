"""The command line of the benchmarks; `scripts/bench` runs it. See `scripts/bench --help`."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.adapter import PEERS
from benchmarks.driver import Driver, Found
from benchmarks.process import Process, WorkerError
from benchmarks.scenarios import SCENARIOS, Scenario, by_name
from natsrpc.testing import NatsServer, find_server

QUICK_PEERS = ("natsrpc", "nats-py")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="CPU, latency and memory of natsrpc beside other clients, in one run.",
        epilog=f"scenarios: {', '.join(scenario.name for scenario in SCENARIOS)}; "
        f"peers: {', '.join(PEERS)}",
    )
    parser.add_argument("--full", action="store_true", help="all scenarios and peers")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--peer", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--rounds", type=int, default=7, help="windows a peer (default 7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="a window (default 0.5)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    arguments = parser.parse_args()
    for name in arguments.peer or ():
        if name not in PEERS:
            parser.error(f"no peer {name!r}: there are {', '.join(PEERS)}")
    return arguments


def _chosen(arguments: argparse.Namespace) -> tuple[list[Scenario], list[str]]:
    try:
        scenarios = [by_name(name) for name in arguments.scenario or ()]
    except KeyError as error:
        sys.exit(f"no scenario {error}: there are {', '.join(each.name for each in SCENARIOS)}")
    scenarios = scenarios or [each for each in SCENARIOS if arguments.full or each.quick]
    peers = arguments.peer or (list(PEERS) if arguments.full else list(QUICK_PEERS))
    return scenarios, peers


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _versions(peers: list[str], loop: str) -> dict[str, str]:
    """The version of each peer, or the reason why it cannot be measured."""
    versions = {}
    for peer in peers:
        try:
            process = Process(peer, loop, 0)
        except WorkerError as error:
            versions[peer] = str(error)
            continue
        try:
            versions[peer] = process.do("offers", names=[])["version"]
        except WorkerError as error:
            versions[peer] = str(error)
        finally:
            process.stop()
    return versions


def _server_version() -> str:
    out = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True)
    return out.stdout.strip().removeprefix("nats-server: v")


def _row(found: Found) -> dict[str, Any]:
    return {"rounds": found.rounds, "medians": found.medians(), "why_not": found.why_not}


def main() -> None:
    """Measure, print the tables, and write the files that were asked for."""
    arguments = _arguments()
    scenarios, peers = _chosen(arguments)
    versions = _versions(peers, arguments.loop)
    results: dict[str, Any] = {"about": {}, "scenarios": []}
    with NatsServer("max_payload: 8388608", jetstream=True) as server:
        driver = Driver(server, arguments.loop, arguments.seconds, arguments.rounds, _say)
        results["about"] = {
            "python": platform.python_version(),
            "loop": arguments.loop,
            "server": _server_version(),
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "peers": versions,
        }
        for scenario in scenarios:
            found = driver.run(scenario, peers)
            rows = {name: _row(each) for name, each in found.items()}
            entry = {"name": scenario.name, "title": scenario.title, "unit": scenario.unit}
            results["scenarios"].append(entry | {"peers": rows})
            _say("")
            if arguments.json is not None:
                report.as_json(results, arguments.json)
    text = report.as_markdown(results)
    sys.stdout.write(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

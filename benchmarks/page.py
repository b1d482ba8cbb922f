"""Puts measured tables into `docs/performance.md`, between its marks, one run a Python version.

python -m benchmarks.page docs/performance.md benchmarks/results/3.13.json [...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import as_markdown, ratio

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

REACH = (
    ("raw-64", "cpu_us", ("nats-py", "natsio", "nats.go")),
    ("typed-64", "cpu_us", ("nats-py", "natsio", "faststream", "grpc.aio")),
    ("raw-1", "p50_ms", ("nats-py", "natsio", "nats.go")),
    ("publish", "cpu_us", ("nats-py", "natsio", "nats.go")),
    ("deliver-callback", "cpu_us", ("nats-py", "natsio", "nats.go")),
    ("deliver-iterator", "cpu_us", ("nats-py", "natsio")),
    ("fan-out-100", "cpu_us", ("nats-py", "natsio", "nats.go")),
    ("raw-1MiB", "cpu_us", ("nats-py", "natsio", "nats.go")),
    ("idle-10000", "bytes", ("nats-py", "natsio", "nats.go")),
    ("waiting-10000", "bytes", ("nats-py", "natsio", "nats.go")),
)
"""Scenario, figure and peers of the table at the top."""

_FIGURES = {"cpu_us": "CPU", "p50_ms": "p50", "bytes": "memory"}


def summary(runs: list[dict[str, Any]]) -> list[str]:
    """Our share of what each peer takes: below 1 is less than theirs."""
    heads = [f"Python {run['about']['python'].rsplit('.', 1)[0]}" for run in runs]
    lines = [f"| natsrpc takes | of | {' | '.join(heads)} |", f"|---|---|{'--:|' * len(heads)}"]
    for name, figure, peers in REACH:
        for peer in peers:
            cells = [_share(run, name, figure, peer) for run in runs]
            if any(cells):
                title = next(each["title"] for each in runs[0]["scenarios"] if each["name"] == name)
                lines.append(f"| {title}: {_FIGURES[figure]} | {peer} | {' | '.join(cells)} |")
    return lines


def _share(run: dict[str, Any], name: str, figure: str, peer: str) -> str:
    found = {scenario["name"]: scenario["peers"] for scenario in run["scenarios"]}.get(name, {})
    ours, theirs = found.get("natsrpc"), found.get(peer)
    if not ours or not theirs or not ours["rounds"] or not theirs["rounds"]:
        return ""
    return f"{ratio(ours['rounds'], theirs['rounds'], figure):.2f} x"


def main() -> None:
    """Write the page anew."""
    page, *sources = map(Path, sys.argv[1:])
    runs = [json.loads(source.read_text(encoding="utf-8")) for source in sources]
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    parts = [BEGIN, "", *summary(runs)]
    for run in runs:
        version = run["about"]["python"].rsplit(".", 1)[0]
        parts += ["", f"## All figures, Python {version}", "", as_markdown(run).strip()]
    page.write_text(before + "\n".join([*parts, "", END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()

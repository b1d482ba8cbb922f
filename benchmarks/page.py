"""Writes the tables of measured runs into `docs/performance.md`, one run for each Python version.

python -m benchmarks.page docs/performance.md benchmarks/results/3.13.json [...]
python -m benchmarks.page docs/performance.md benchmarks/results/jetstream-3.13.json [...]
python -m benchmarks.page docs/performance.md benchmarks/results/observing-3.13.json [...]

The second writes the tables of the JetStream scenarios, from a run of those alone. The third writes
the table of what observing costs, from what `benchmarks.observing` has measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import as_markdown, ratio

MARKS = "<!-- measured: begin -->", "<!-- measured: end -->"
JETSTREAM_MARKS = "<!-- jetstream: begin -->", "<!-- jetstream: end -->"
OBSERVING_MARKS = "<!-- observing: begin -->", "<!-- observing: end -->"

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
    ("import", "cpu_us", ("nats-py", "natsio")),
)
"""Scenario, figure and peers of the table at the top."""

_FIGURES = {"cpu_us": "CPU", "p50_ms": "p50", "bytes": "memory"}


def summary(runs: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table at the top: natsrpc's figure over each peer's. Below 1 natsrpc
    takes less."""
    heads = [f"Python {run['about']['python'].rsplit('.', 1)[0]}" for run in runs]
    lines = [f"| natsrpc takes | of | {' | '.join(heads)} |", f"|---|---|{'--:|' * len(heads)}"]
    for name, figure, peers in REACH:
        for peer in peers:
            cells = [_share(run, name, figure, peer) for run in runs]
            if any(cells):
                title = next(each["title"] for each in runs[0]["scenarios"] if each["name"] == name)
                lines.append(f"| {title}: {_FIGURES[figure]} | {peer} | {' | '.join(cells)} |")
    typed = [_across(run, ("typed-64", "natsrpc"), ("raw-64", "nats.go")) for run in runs]
    lines.append(
        f"| a typed call, 64 in flight: CPU | nats.go's raw request | {' | '.join(typed)} |"
    )
    for name in ("natsrpc (typed)", "natsrpc (typed, JSON)"):
        more = [_import_more(run, name) for run in runs]
        lines.append(f"| import of {name}: CPU | pydantic alone | {' | '.join(more)} |")
    return lines


def _median(run: dict[str, Any], name: str, peer: str) -> float | None:
    for scenario in run["scenarios"]:
        if scenario["name"] == name:
            median: float | None = scenario["peers"].get(peer, {}).get("medians", {}).get("cpu_us")
            return median
    return None


def _across(run: dict[str, Any], ours: tuple[str, str], theirs: tuple[str, str]) -> str:
    mine, other = _median(run, *ours), _median(run, *theirs)
    return f"{mine / other:.2f} x" if mine and other else ""


def _import_more(run: dict[str, Any], name: str) -> str:
    mine, other = _median(run, "import", name), _median(run, "import", "pydantic alone")
    return f"{(mine - other) / 1000:+.0f} ms" if mine and other else ""


def _share(run: dict[str, Any], name: str, figure: str, peer: str) -> str:
    found = {scenario["name"]: scenario["peers"] for scenario in run["scenarios"]}.get(name, {})
    ours, theirs = found.get("natsrpc"), found.get(peer)
    if not ours or not theirs or not ours["rounds"] or not theirs["rounds"]:
        return ""
    return f"{ratio(ours['rounds'], theirs['rounds'], figure):.2f} x"


def observing(runs: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of what observing costs: microseconds over what a call takes
    that nobody observes, by how many are in flight; and what OpenTelemetry takes alone."""
    heads, rules = ["| observed by", "limit"], ["|---", "--:"]
    for run in runs:
        version = run["about"]["python"].rsplit(".", 1)[0]
        for number in run["observing"][0]["in_flight"]:
            heads.append(f"Python {version}, {number} in flight")
            rules.append("--:")
        heads.append("OpenTelemetry alone")
        rules.append("--:")
    lines = [" | ".join(heads) + " |", "|".join(rules) + "|"]
    for number, row in enumerate(runs[0]["observing"]):
        cells = [row["title"], "" if row["limit"] is None else f"{row['limit']:.0f}"]
        for run in runs:
            found = run["observing"][number]
            for cell in found["in_flight"].values():
                is_base = row["kind"] == "nobody"
                cells.append(f"{cell['cpu_us']:.1f}" if is_base else f"{cell['more_us']:+.1f}")
            alone = found["alone_us"]
            cells.append("" if alone is None else f"{alone:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def least_cpu(rounds: list[dict[str, float]]) -> float:
    """The CPU of the window that was disturbed least; 0 if there is none."""
    return min((each["cpu_us"] for each in rounds), default=0.0)


def jetstream(runs: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the tables of the JetStream scenarios, one for each Python version:
    natsrpc's CPU, and its share of what each peer takes, both by the least of the windows; of the
    bare core by the median of neighboring windows, too."""
    lines = []
    for run in runs:
        about = run["about"]
        peers = [peer for peer in about["peers"] if peer != "natsrpc"]
        named = [f"{peer} {about['peers'][peer]}" for peer in peers if peer != "bare core"]
        lines += [
            "",
            f"Python {about['python']}, nats-server {about['server']}, {about['cpus']} cores, "
            f"{about['date']}, {about['rounds']} alternating windows; {', '.join(named)}:",
            "",
            f"| natsrpc takes | CPU µs | {' | '.join(f'of {peer}' for peer in peers)} "
            "| of bare core, median |",
            f"|---|--:|{'--:|' * len(peers)}--:|",
        ]
        for entry in run["scenarios"]:
            least = {name: least_cpu(each["rounds"]) for name, each in entry["peers"].items()}
            mine = least["natsrpc"]
            cells = [f"{mine / least[peer]:.2f} x" if least[peer] else "" for peer in peers]
            cells.append(_share(run, entry["name"], "cpu_us", "bare core"))
            title = f"{entry['title']}: each {entry['unit']}"
            lines.append(f"| {title} | {mine:.1f} | {' | '.join(cells)} |")
    return lines[1:]


def main() -> None:
    """Replace the part of the page between its two marks."""
    page, *sources = map(Path, sys.argv[1:])
    runs = [json.loads(source.read_text(encoding="utf-8")) for source in sources]
    if "observing" in runs[0]:
        marks, parts = OBSERVING_MARKS, observing(runs)
    elif runs[0]["scenarios"][0]["name"].startswith("js-"):
        marks, parts = JETSTREAM_MARKS, jetstream(runs)
    else:
        marks, parts = MARKS, summary(runs)
        for run in runs:
            version = run["about"]["python"].rsplit(".", 1)[0]
            parts += ["", f"## All figures, Python {version}", "", as_markdown(run).strip()]
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(marks[0], 1)
    after = rest.split(marks[1], 1)[1]
    whole = "\n".join([marks[0], "", *parts, "", marks[1]])
    page.write_text(before + whole + after, encoding="utf-8")


if __name__ == "__main__":
    main()

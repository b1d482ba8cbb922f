"""The figures of a run, as JSON for programs and as Markdown for readers."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

_COLUMNS = {
    "cpu_us": ("CPU µs", 1),
    "caller_us": ("caller µs", 1),
    "service_us": ("service µs", 1),
    "rate": ("a second", 0),
    "p50_ms": ("p50 ms", 2),
    "p99_ms": ("p99 ms", 2),
    "bytes": ("bytes each", 0),
    "modules": ("modules", 0),
    "peak_mib": ("peak MiB", 0),
    "caller_peak_mib": ("caller peak MiB", 0),
    "service_peak_mib": ("service peak MiB", 0),
}


def ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]], figure: str) -> float:
    """Return our figure over theirs: the median of the ratios of each round.

    The two windows of a round are neighbors in time, so that each ratio is of the same machine's
    speed.
    """
    pairs = [
        mine[figure] / other[figure]
        for mine, other in zip(ours, theirs, strict=False)
        if other[figure]
    ]
    return statistics.median(pairs) if pairs else float("nan")


def as_json(results: dict[str, Any], path: Path) -> None:
    """Write all figures, round by round."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def as_markdown(results: dict[str, Any]) -> str:
    """Return the figures with a table for each scenario."""
    about = results["about"]
    lines = [
        f"Python {about['python']}, {about['loop']} loop, nats-server {about['server']}, "
        f"{about['cpus']} cores, {about['system']}, {about['date']}. "
        f"{about['rounds']} alternating windows a scenario, medians.",
    ]
    for scenario in results["scenarios"]:
        lines += ["", f"### {scenario['title']}", "", *_table(scenario)]
    lines += _tax({scenario["name"]: scenario["peers"] for scenario in results["scenarios"]})
    return "\n".join(lines) + "\n"


def _tax(scenarios: dict[str, Any]) -> list[str]:
    """A sentence on the cost of a typed call over a raw request, both with 64 in flight."""
    both = [
        scenarios[name]["natsrpc"]["medians"].get("cpu_us")
        for name in ("raw-64", "typed-64")
        if "natsrpc" in scenarios.get(name, {})
    ]
    if len(both) < 2 or None in both:
        return []
    raw, typed = both
    return [
        "",
        f"A typed call of natsrpc, pydantic included, takes {typed - raw:.1f} µs of CPU more than "
        "a raw request.",
    ]


def _table(scenario: dict[str, Any]) -> list[str]:
    peers = scenario["peers"]
    measured = {name: peer for name, peer in peers.items() if peer["rounds"]}
    figures = [
        figure
        for figure in _COLUMNS
        if any(figure in peer["medians"] for peer in measured.values())
    ]
    ours = measured.get("natsrpc")
    lines = []
    if figures:
        heads = [_COLUMNS[figure][0] for figure in figures]
        lines = [
            f"| | {' | '.join(heads)} | natsrpc is |",
            f"|---|{'--:|' * len(heads)}--:|",
        ]
    main = "bytes" if "bytes" in figures else "cpu_us"
    for name, peer in sorted(measured.items(), key=lambda item: item[1]["medians"][main]):
        cells = [f"{peer['medians'].get(figure, 0):,.{_COLUMNS[figure][1]}f}" for figure in figures]
        against = ""
        if ours is not None and peer is not ours:
            against = f"{ratio(ours['rounds'], peer['rounds'], main):.2f} x"
        label = f"**{name}**" if name.startswith("natsrpc") else name
        lines.append(f"| {label} | {' | '.join(cells)} | {against} |")
    absent: dict[str, list[str]] = {}
    for name, peer in peers.items():
        if not peer["rounds"]:
            absent.setdefault(peer["why_not"], []).append(name)
    if absent:
        told = "; ".join(f"{', '.join(names)} ({why})" for why, names in absent.items())
        lines += ["", f"Without figures: {told}."]
    return lines

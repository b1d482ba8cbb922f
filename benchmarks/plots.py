"""Bar charts of a measured run, as SVG, made from the JSON that `scripts/bench --json` wrote.

python -m benchmarks.plots benchmarks/results/3.13.json docs/performance
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

OURS, THEIRS, OTHER = "#1f6feb", "#b8c0cc", "#dfb76c"
OTHER_LANGUAGES = ("nats.go", "natsrpy", "grpc.aio")

CHARTS = {
    "calls": ("CPU of one call, service and caller added", "cpu_us", "µs", ("raw-64", "typed-64")),
    "messages": (
        "CPU of one message",
        "cpu_us",
        "µs",
        ("publish", "deliver-callback", "deliver-iterator", "fan-out-100"),
    ),
    "latency": ("Median latency, one call at a time", "p50_ms", "ms", ("raw-1", "typed-1")),
    "large": ("CPU of one large echo", "cpu_us", "µs", ("raw-64KiB", "raw-1MiB")),
    "memory": ("Memory of each", "bytes", "bytes", ("idle-10000", "waiting-10000")),
}
"""File name -> heading, figure, unit, scenarios side by side."""

TOO_LONG = 12
"""A bar longer than so many times natsrpc's is cut; its value is written beside it."""


def draw(results: dict[str, Any], name: str, folder: Path) -> None:
    """Write one chart."""
    heading, figure, unit, names = CHARTS[name]
    scenarios = [each for each in results["scenarios"] if each["name"] in names]
    shown = [_bars(scenario, figure) for scenario in scenarios]
    height = 0.6 + 0.3 * max((len(bars) for bars in shown), default=1)
    rows = math.ceil(len(scenarios) / 2)
    drawing, axes = plt.subplots(rows, 2, figsize=(8.8, height * rows), squeeze=False)
    for axis, scenario, bars in zip(axes.flat, scenarios, shown, strict=True):
        _panel(axis, scenario["title"], bars, unit)
    drawing.suptitle(heading, fontsize=11, fontweight="bold", x=0.01, ha="left")
    drawing.tight_layout()
    drawing.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(drawing)


def _bars(scenario: dict[str, Any], figure: str) -> list[tuple[str, float]]:
    found = [
        (name, peer["medians"][figure])
        for name, peer in scenario["peers"].items()
        if figure in peer["medians"]
    ]
    return sorted(found, key=lambda bar: bar[1])


def _panel(axis: Any, title: str, bars: list[tuple[str, float]], unit: str) -> None:
    ours = next((value for name, value in bars if name == "natsrpc"), bars[0][1])
    limit = ours * TOO_LONG
    for row, (name, value) in enumerate(bars):
        color = OURS if name == "natsrpc" else OTHER if name in OTHER_LANGUAGES else THEIRS
        axis.barh(row, min(value, limit), color=color, height=0.7)
        digits = 0 if value >= 100 else 1 if value >= 1 else 2
        more = " …" if value > limit else ""
        axis.text(min(value, limit), row, f" {value:,.{digits}f}{more}", va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=8)
    axis.invert_yaxis()
    axis.set_xticks([])
    axis.set_title(f"{title} ({unit})", fontsize=8, loc="left")
    axis.margins(x=0.15)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def main() -> None:
    """Draw all charts of one run."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "natsrpc"
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["font.family"] = "sans-serif"
    results = json.loads(source.read_text(encoding="utf-8"))
    for name in CHARTS:
        draw(results, name, folder)


if __name__ == "__main__":
    main()

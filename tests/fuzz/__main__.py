"""`make fuzz TIME=60`: every target and property, for so many seconds in all.

`python -m tests.fuzz SECONDS [NAME...]` feeds some of them. What fails is kept in
tests/fuzz/cases/, where tests/fuzz/test_cases.py tries it from then on; for a property Hypothesis
prints the example, which is to be added there by `@example`.
"""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

CORPUS = Path(__file__).parents[2] / ".make" / "fuzz"


def main() -> int:
    seconds, chosen = float(sys.argv[1]), sys.argv[2:]
    from .shapes import SHAPES  # noqa: PLC0415  a child instruments what it imports
    from .targets import TARGETS  # noqa: PLC0415

    names = chosen or [*TARGETS, *SHAPES]
    share = max(1.0, seconds / len(names))
    steered = importlib.util.find_spec("atheris") is not None
    how = "atheris" if steered else "dice: atheris is missing, so nothing looks at what they reach"
    print(f"{len(names)} targets, {share:.0f} s each, by {how}", flush=True)
    failed = []
    for name in names:
        if name in TARGETS and steered:
            command = [sys.executable, "-m", "tests.fuzz", "--steer", name, str(int(share))]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            said = [line for line in done.stderr.splitlines() if "number_of_executed" in line]
            count = said[0].rpartition(":")[2].strip() if said else "?"
            ok = done.returncode == 0
            if not ok:
                print("\n".join(done.stderr.splitlines()[-40:]), "\n", done.stdout[-4000:])
        else:
            ok, count = _try(name, share)
        failed += [] if ok else [name]
        print(f"{name:14} {count:>10} inputs {'' if ok else 'FAILED'}", flush=True)
    return 1 if failed else 0


def _try(name: str, share: float) -> tuple[bool, str]:
    from .engine import roll  # noqa: PLC0415
    from .shapes import SHAPES  # noqa: PLC0415

    try:
        if name not in SHAPES:
            return True, str(roll(name, share, random.Random()))
        end, count = time.monotonic() + share, 0
        quick = settings(
            max_examples=100,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )
        look = quick(SHAPES[name])
        while time.monotonic() < end:
            look()
            count += 100
    except Exception:
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        return False, "?"
    return True, str(count)


def _steer(name: str, seconds: str) -> None:
    import atheris  # noqa: PLC0415  not for all Pythons

    with atheris.instrument_imports(include=["natsrpc"]):
        from .engine import steer  # noqa: PLC0415
    steer(name, int(seconds), CORPUS / name)


if __name__ == "__main__":
    if sys.argv[1] == "--steer":
        _steer(*sys.argv[2:4])
    sys.exit(main())

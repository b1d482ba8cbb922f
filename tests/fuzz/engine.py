"""What feeds the targets: atheris, which looks at what an input reaches, or else dice."""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .targets import SEEDS, TARGETS, Target

CASES = Path(__file__).parent / "cases"
LONGEST = 4096  # bytes of an input


def cases(name: str) -> Iterator[tuple[str, bytes]]:
    """The inputs of a target that are always tried: what once failed, and what means something."""
    for number, seed in enumerate(SEEDS[name]):
        yield f"seed {number}", seed
    for path in sorted((CASES / name).glob("*")):
        yield path.name, path.read_bytes()


def keep(name: str, data: bytes) -> Path:
    """Keep an input that failed, for all tests from now on."""
    path = CASES / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def roll(name: str, seconds: float, dice: random.Random, at_least: int = 0) -> int:
    """Feed a target with mutations of its cases for a time; how many. What fails is kept."""
    target, pool = TARGETS[name], [data for _, data in cases(name)]
    end, count = time.monotonic() + seconds, 0
    while count < at_least or time.monotonic() < end:
        data = mutated(pool, dice)
        try:
            target(data)
        except BaseException:
            print(f"{name}: kept as {keep(name, data)}", file=sys.stderr)
            raise
        count += 1
    return count


def mutated(pool: list[bytes], dice: random.Random) -> bytes:
    """One of the inputs, changed in some places, or two of them joined."""
    data = bytearray(dice.choice(pool))
    for _ in range(dice.randrange(1, 9)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(7):
            case 0:
                data[at:at] = dice.randbytes(dice.randrange(1, 5))
            case 1:
                del data[at : at + dice.randrange(1, 9)]
            case 2 if data:
                data[at % len(data)] ^= 1 << dice.randrange(8)
            case 3:
                other = dice.choice(pool)
                start = dice.randrange(len(other) + 1)
                data[at:at] = other[start : start + dice.randrange(1, 40)]
            case 4:
                data[at:at] = dice.choice([b"\r\n", b" ", b"\0", b"-1", b"99999999999999999999"])
            case 5 if data:
                data[at % len(data)] = dice.randrange(256)
            case _:
                data[at:at] = data[at : at + dice.randrange(1, 30)] * dice.randrange(1, 4)
    return bytes(data[:LONGEST])


def steer(name: str, seconds: int, corpus: Path) -> None:
    """Feed a target by atheris for a time. Ends the process; what failed is among the cases."""
    import atheris  # noqa: PLC0415  not for all Pythons

    target: Target = TARGETS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    (CASES / name).mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-verbosity=0"]
    options += [f"-artifact_prefix={CASES / name}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(CASES / name)], target)
    atheris.Fuzz()

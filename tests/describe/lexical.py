"""Just enough of TypeScript's grammar to see that nothing left its place: strings and comments end,
brackets match, and all else is what we write."""

from __future__ import annotations

import re
from importlib import resources

RUNTIME = (resources.files("natsrpc.describe") / "runtime.ts").read_text(encoding="utf-8").rstrip()

_tokens = re.compile(
    r"""
    (?P<comment>/\*(?:(?!\*/).)*\*/)
    | (?P<string>"(?:[^"\\\n\r\u2028\u2029]|\\["\\/bfnrtu])*")
    | (?P<open>[{(\[])
    | (?P<close>[)}\]])
    | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
    | (?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    | (?P<mark>=>|\.\.\.|[ \n<>|,;:?.=*\#])
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "}": "{", "]": "["}


def check(source: str) -> None:
    """Fail unless a generated module, but for the part that is always the same, is well-formed."""
    if "\n\nexport {};\n" not in source:
        assert source.count(RUNTIME) == 1
        source = source.replace(RUNTIME, "")
    place, depth = 0, []
    while place < len(source):
        found = _tokens.match(source, place)
        assert found is not None, f"what is this: {source[place : place + 80]!r}"
        place = found.end()
        if found.lastgroup == "open":
            depth.append(found[0])
        elif found.lastgroup == "close":
            assert depth, f"too many {found[0]} before {source[place : place + 80]!r}"
            assert depth.pop() == _PAIRS[found[0]]
    assert depth == []

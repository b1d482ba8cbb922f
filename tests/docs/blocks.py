"""The fenced blocks of the pages for people, and the programs that they are.

A block whose first line is a comment with a file's name, such as `# calc.py`, is that file: other
blocks import from it. A block that is no program by itself, a fragment, stands behind an HTML
comment that begins with `<!-- python` and holds what is around it; the block takes the place of the
comment's line `...`. Fragments are checked and not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]

_FENCED = re.compile(
    r"^(?:<!-- python\n(?P<around>.*?)-->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is the number of its first line in the page."""

    page: Path
    line: int
    kind: str
    text: str
    around: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix().removeprefix('docs/')}:{self.line}"

    @property
    def is_program(self) -> bool:
        return self.kind == "python" and not self.around

    @property
    def file(self) -> str:
        """The name of the file that it is."""
        named = re.match(r"# (\w+\.py)\n", self.text)
        page = re.sub(r"\W", "_", str(self).lower())
        return named[1] if named else f"{page}.py"

    @property
    def module(self) -> str:
        """All of that file, whose first lines may be those around a fragment."""
        if not self.around:
            return self.text
        before, place, after = re.split(r"^( *)\.\.\.\n", self.around, flags=re.M)
        return before + indent(self.text, place) + after

    def line_in_page(self, line: int) -> int:
        """The line of the page that this line of the file is."""
        before = self.around.partition("...\n")[0].count("\n") if self.around else 0
        return self.line + line - 1 - before


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["kind"], found["text"], found["around"] or "")


BLOCKS = [block for page in PAGES for block in blocks(page)]

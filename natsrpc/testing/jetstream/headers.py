"""Header blocks as bytes: read and changed without touching what the publisher wrote.

The server reads names by case, and takes the first of several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_VERSION = b"NATS/1.0"
_END = b"\r\n\r\n"


def lines_of(block: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a block, in order."""
    found = []
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name, value.strip()))
    return found


def value(block: bytes, name: str) -> str | None:
    """The first value of a header; None if there is none."""
    wanted = name.encode()
    if wanted not in block:
        return None
    for found, text in lines_of(block):
        if found == wanted:
            return text.decode("utf-8", "surrogateescape")
    return None


def block_of(lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block with these headers; empty without any."""
    text = b"".join(b"\r\n%b: %b" % line for line in lines)
    return _VERSION + text + _END if text else b""


def appended(block: bytes, lines: Iterable[tuple[str, object]]) -> bytes:
    """A block with more headers behind its own."""
    start = block[: -len(_END)] if block else _VERSION
    text = "".join(f"\r\n{name}: {each}" for name, each in lines)
    return start + text.encode("utf-8", "surrogateescape") + _END


def without(block: bytes, is_bad: Callable[[str], bool]) -> bytes:
    """A block without the headers whose names are bad."""
    return block_of(line for line in lines_of(block) if not is_bad(line[0].decode("latin-1")))


def stripped(block: bytes) -> bytes:
    """A block without the status that its publisher may have written into its first line."""
    first, line_end, rest = block.partition(b"\r\n")
    return _VERSION + line_end + rest if first != _VERSION and block else block


def status(code: int, text: str, lines: Iterable[tuple[str, object]] = ()) -> bytes:
    """The block of a status."""
    head = f"NATS/1.0 {code} {text}"
    return (head + "".join(f"\r\n{name}: {each}" for name, each in lines) + "\r\n\r\n").encode()

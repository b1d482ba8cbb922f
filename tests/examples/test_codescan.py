"""examples/services/codescan.py: what it reports, as a function and over the wire."""

from __future__ import annotations

import os
from pathlib import Path

import natsrpc
from examples.services.codescan import Function, Report, Source, read_source, scan, service
from natsrpc.testing import NatsServer

TEXT = """\
import os, sys
from . import near
from a.b import c


class Thing:
    def short(self):
        return os


async def longer(x):
    y = os.path
    y = os.sep

    return y
"""


async def test_report_tells_what_is_in_the_text() -> None:
    assert await scan(Source(path="thing.py", text=TEXT)) == Report(
        path="thing.py",
        lines=15,
        functions=2,
        classes=1,
        longest=Function(name="longer", lines=5, location="thing.py:11"),
        imports=[".", "a.b", "os", "sys"],
        names=[("os", 3), ("y", 3)],
        worker=os.getpid(),
    )


async def test_syntax_errors_are_reported_not_raised() -> None:
    report = await scan(Source(path="bad.py", text="def (:\n"))
    assert report.syntax_error is not None
    assert "bad.py" not in report.syntax_error
    assert (report.lines, report.functions) == (1, 0)
    null = await scan(Source(path="null.py", text="a = '\0'"))
    assert null.syntax_error is not None


async def test_text_too_deep_for_the_parser_is_reported() -> None:
    report = await scan(Source(path="deep.py", text="(" * 5000 + ")" * 5000))
    assert report.syntax_error is not None


async def test_odd_escapes_are_no_business_of_ours() -> None:
    report = await scan(Source(path="escape.py", text="x = '\\d'\n"))
    assert report.syntax_error is None


def test_coding_comment_decides_how_bytes_become_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert read_source(path, "latin.py").text.endswith("x = 'é'\n")


async def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    for data in (b"x = '\xff'\n", b"# coding: no-such\n"):
        path.write_bytes(data)
        source = read_source(path, "bad.py")
        assert source.undecodable
        assert (await scan(source)).syntax_error == source.undecodable


async def test_scan_over_the_wire_gives_the_same_report(nats_server: NatsServer) -> None:
    source = Source(path="thing.py", text=TEXT)
    async with natsrpc.connect(nats_server.url) as client, client.serve(service):
        for codec in ("json", "msgpack"):
            assert await client.call(scan, source, codec=codec) == await scan(source)

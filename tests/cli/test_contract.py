"""`natsrpc contract`: exporting contracts from modules and live services, and comparing them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.describe import document
from natsrpc.testing import NatsServer

from .processes import run_command

MODULE = """
import natsrpc
from pydantic import BaseModel

class Question(BaseModel):
    topic: str

class Answer(BaseModel):
    text: str

service = natsrpc.Service("desk", version="{version}")

@service.handler("desk.help", name="help")
async def help(question: Question) -> {returns}:
    raise NotImplementedError
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two versions of a service, as `old.py` and `next.py`, and the exported `old.json`."""
    (tmp_path / "old.py").write_text(MODULE.format(version="1.2.3", returns="Answer"), "utf-8")
    (tmp_path / "next.py").write_text(MODULE.format(version="1.3.0", returns="str"), "utf-8")
    assert run_command("contract", "export", "old.py", "-o", "old.json", cwd=tmp_path)[0] == 0
    return tmp_path


def test_export_writes_a_document(folder: Path) -> None:
    written = json.loads((folder / "old.json").read_text("utf-8"))
    assert (written["name"], written["version"]) == ("desk", "1.2.3")
    code, out, err = run_command("contract", "export", "old.py:service", cwd=folder)
    assert (code, json.loads(out), err) == (0, written, "")


def test_export_writes_asyncapi(folder: Path) -> None:
    """Of a module and of an exported file alike."""
    for target in ("old.py", "old.json"):
        command = ("contract", "export", target, "--format", "asyncapi")
        code, out, err = run_command(*command, cwd=folder)
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert (found["asyncapi"], found["info"]["title"]) == ("3.0.0", "desk")
        assert found["channels"]["help"]["address"] == "desk.help"
    code, out, err = run_command("contract", "export", "old.py", "--format", "x", cwd=folder)
    assert (code, out) == (2, "")
    assert "asyncapi" in err


def test_export_writes_openapi(folder: Path) -> None:
    code, out, err = run_command("contract", "export", "old.py", "--format", "openapi", cwd=folder)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["openapi"], found["info"]) == (
        "3.1.0",
        {"title": "desk", "version": "1.2.3", "description": ""},
    )
    assert list(found["paths"]) == ["/desk/help"]


def test_diff_tells_what_breaks(folder: Path) -> None:
    code, out, err = run_command("contract", "diff", "old.json", "next.py", cwd=folder)
    assert (code, err) == (0, "")
    assert "desk 1.2.3 -> 1.3.0" in out
    assert "breaks" in out
    assert "Answer became string" in out
    assert "needs version 2.0.0: 1.3.0 is too low" in out


def test_diff_of_the_same_is_none(folder: Path) -> None:
    code, out, _ = run_command("contract", "diff", "old.json", "old.py", "--exit-code", cwd=folder)
    assert (code, out) == (0, "desk 1.2.3 -> 1.2.3\nno changes\n")


@pytest.mark.parametrize(
    ("old", "new", "flag", "code"),
    [
        ("old.json", "next.py", "--exit-code", 1),
        ("old.json", "next.py", "--check-version", 1),
        ("next.py", "next.py", "--exit-code", 0),
        ("next.py", "next.py", "--check-version", 0),
    ],
)
def test_exit_code_is_a_verdict_where_asked_for(
    folder: Path, old: str, new: str, flag: str, code: int
) -> None:
    assert run_command("contract", "diff", old, new, flag, cwd=folder)[0] == code


def test_diff_as_json(folder: Path) -> None:
    code, out, _ = run_command("contract", "diff", "old.json", "next.py", "--json", cwd=folder)
    found = json.loads(out)
    assert code == 0
    assert (found["step"], found["needed"], found["sufficient"]) == ("major", "2.0.0", False)
    assert found["changes"][0]["breaks"] is True


def test_document_is_read_from_stdin(folder: Path) -> None:
    text = (folder / "old.json").read_text("utf-8")
    code, out, _ = run_command("contract", "diff", "-", "old.py", stdin=text, cwd=folder)
    assert (code, "no changes" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("export", "missing.json"), "No such file"),
        (("export", "bad.json"), "cannot be read as a contract"),
        (("export", "several.py"), "holds several services (a, b)"),
        (("export", "old.py", "-o", "missing/x.json"), "cannot write"),
        (("diff", "old.json", "missing.py"), "missing.py"),
        (("export", "desk", "-s", "nats://127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    (folder / "bad.json").write_text("[]", "utf-8")
    (folder / "several.py").write_text(
        "import natsrpc\n"
        "service = [natsrpc.Service(name, version='1.0.0') for name in ('a', 'b')]\n",
        "utf-8",
    )
    code, out, err = run_command("contract", *arguments, cwd=folder)
    unreachable = text == "127.0.0.1:1"
    assert (code, out) == (1 if unreachable else 2, "")
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1


service = natsrpc.Service("desk", version="1.2.4")


@service.handler("desk.help", name="help")
async def help(question: dict[str, str]) -> str:
    return ""


@pytest.mark.live
async def test_live_service_tells_its_contract(fresh_server: NatsServer, folder: Path) -> None:
    async with natsrpc.connect(fresh_server.url) as client, client.serve(service):
        where: dict[str, Any] = {"NATS_URL": fresh_server.url, "cwd": folder}
        code, out, _ = await asyncio.to_thread(run_command, "contract", "export", "desk", **where)
        assert (code, json.loads(out)) == (0, document(service.contract))
        assert list(json.loads(out)["endpoints"][0]) == list(
            document(service.contract)["endpoints"][0]
        )
        code, out, _ = await asyncio.to_thread(
            run_command, "contract", "diff", "old.json", "desk", "--exit-code", **where
        )
        assert code == 1
        assert "desk 1.2.3 -> 1.2.4" in out
        code, _, err = await asyncio.to_thread(run_command, "contract", "export", "nobody", **where)
        assert code == 3
        assert err == "error: no service 'nobody' answered\n"


@pytest.mark.live
async def test_instances_of_different_contracts_are_told(
    fresh_server: NatsServer, folder: Path
) -> None:
    later = natsrpc.Service("desk", version="1.10.0")

    @later.handler("desk.help", name="help")
    async def help(question: dict[str, int]) -> str:
        return ""

    where: dict[str, Any] = {"NATS_URL": fresh_server.url, "cwd": folder}
    async with (
        natsrpc.connect(fresh_server.url) as client,
        client.serve(service),
        client.serve(later),
    ):
        code, out, err = await asyncio.to_thread(run_command, "contract", "export", "desk", **where)
    assert (code, json.loads(out)) == (0, document(later.contract))
    assert "instances of 'desk' keep different contracts" in err
    assert "taking one of 1.10.0" in err

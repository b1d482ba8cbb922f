"""`natsrpc run`: log lines, as the operator asks for them where the service does not say it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Command, run_command

pytestmark = pytest.mark.live

SERVICE = """
import logging, natsrpc
{setup}
log = logging.getLogger("shop")
log.warning("at import")
service = natsrpc.Service("shop", version="1.0.0", lifespan=globals().get("lifespan"))

@service.handler("shop.outer", name="outer")
async def outer(client: natsrpc.Client) -> str:
    log.info("outer runs")
    return await client.call("shop.inner", returns=str)

@service.handler("shop.inner", name="inner")
def inner() -> str:
    log.info("inner runs", extra={{"size": 3}})
    log.debug("inner details")
    return "done"

@service.handler("shop.fail", name="fail")
async def fail() -> None:
    raise ValueError("secret")
"""


async def run(
    folder: Path, server: NatsServer, *arguments: str, setup: str = ""
) -> tuple[list[str], str]:
    """The lines that a pool writes while three calls are made, and the id that a caller is told."""
    (folder / "shop.py").write_text(SERVICE.format(setup=setup))
    command = Command("run", "shop", *arguments, "-s", server.url, cwd=folder)
    with command:
        await asyncio.to_thread(command.wait_for, "shop is served by 1 worker")
        async with natsrpc.connect(server.url) as client:
            headers = {"X-Request-Id": "req 7", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
            assert await client.call("shop.outer", returns=str, headers=headers) == "done"
            with pytest.raises(natsrpc.InternalError) as caught:
                await client.call("shop.fail", headers={"x-request-id": "req8"})
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0
    assert isinstance(caught.value.details, dict)
    return command.lines, caught.value.details["error_id"]


def line_of(lines: list[str], text: str) -> str:
    (found,) = [line for line in lines if text in line]
    return found


async def test_text_lines_name_the_request(tmp_path: Path, fresh_server: NatsServer) -> None:
    lines, error_id = await run(tmp_path, fresh_server)
    assert "WARNING" in line_of(lines, "at import")
    for name in ("outer", "inner"):  # the id travels with the nested call, into a thread
        told = f'shop: {name} runs [service=shop endpoint={name} request_id="req 7"'
        assert told in line_of(lines, f"{name} runs")
    assert f"trace_id={'a' * 32}" in line_of(lines, "outer runs")
    failed = line_of(lines, "handler 'fail' failed")
    assert f"service=shop endpoint=fail request_id=req8 error_id={error_id}]" in failed
    assert not any("inner details" in line for line in lines)
    frames = [line for line in lines if line.strip().startswith("File ")]
    assert len(frames) == 1
    assert 'shop.py", line' in frames[0]


async def test_json_lines_are_documents(tmp_path: Path, fresh_server: NatsServer) -> None:
    lines, error_id = await run(
        tmp_path, fresh_server, "--log-format", "json", "--log-level", "debug"
    )
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines]
    by_message = {each["message"]: each for each in documents}
    assert all(each["time"].endswith("Z") for each in documents)
    inner = by_message["inner runs"]
    assert (inner["level"], inner["logger"], inner["size"]) == ("info", "shop", 3)
    assert (inner["service"], inner["endpoint"], inner["request_id"]) == ("shop", "inner", "req 7")
    assert by_message["outer runs"]["trace_id"] == "a" * 32
    assert by_message["inner details"]["level"] == "debug"
    failed = by_message[f"handler 'fail' failed (error id {error_id})"]
    assert (failed["error_id"], failed["request_id"]) == (error_id, "req8")
    assert failed["exception"].endswith("ValueError: secret")
    (served,) = [each for each in documents if each["message"].startswith("shop is served by")]
    assert served["logger"] == "natsrpc.run"


@pytest.mark.parametrize(
    "setup",
    [
        'logging.basicConfig(level=logging.DEBUG, format="mine: %(message)s")',
        'logging.basicConfig(format="mine: %(message)s"); logging.getLogger().setLevel("DEBUG")',
    ],
)
async def test_nothing_that_the_service_set_up_is_overridden(
    tmp_path: Path, fresh_server: NatsServer, setup: str
) -> None:
    arguments = ("--log-format", "json", "--log-level", "error")
    lines, error_id = await run(tmp_path, fresh_server, *arguments, setup=setup)
    for text in ("at import", "outer runs", "inner details"):
        assert line_of(lines, text) == f"mine: {text}"
    assert line_of(lines, error_id) == f"mine: handler 'fail' failed (error id {error_id})"


LIFESPAN = """
import contextlib
@contextlib.asynccontextmanager
async def lifespan(service):
    logging.basicConfig(format="mine: %(message)s")
    yield
"""


@pytest.mark.parametrize(
    "setup",
    [LIFESPAN, "logging.getLogger().setLevel(logging.WARNING)"],
    ids=["handler in a lifespan", "level"],
)
async def test_a_level_that_is_python_s_own_stays_where_the_service_wants_it(
    tmp_path: Path, fresh_server: NatsServer, setup: str
) -> None:
    lines, error_id = await run(tmp_path, fresh_server, "--log-level", "debug", setup=setup)
    assert error_id in line_of(lines, "handler 'fail' failed")
    assert not any("runs" in line or "details" in line for line in lines)


@pytest.mark.parametrize(
    ("setup", "shown"),
    [
        ("", "py.warnings: "),
        ("logging.basicConfig(level=logging.ERROR)", "UserWarning: old"),
        ("logging.basicConfig(format='mine: %(message)s'); logging.captureWarnings(True)", "mine:"),
    ],
    ids=["ours", "theirs", "captured by theirs"],
)
async def test_warnings_are_seen_whoever_set_up_logging(
    tmp_path: Path, fresh_server: NatsServer, setup: str, shown: str
) -> None:
    setup += "\nimport warnings; warnings.warn('old')"
    lines, _ = await run(tmp_path, fresh_server, setup=setup)
    assert shown in line_of(lines, "UserWarning: old")


async def test_a_reason_with_characters_that_move_cursors_is_a_document(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    (tmp_path / "bad.py").write_text(r"raise ValueError('soft\xadhyphen \x7f \x85 end')")
    arguments = ("run", "bad.py", "--log-format", "json", "-s", fresh_server.url)
    code, _, err = await asyncio.to_thread(run_command, *arguments, cwd=tmp_path)
    assert code == 1
    assert json.loads(err)["message"].endswith("ValueError: soft\xadhyphen \x7f \x85 end")


async def test_a_configuration_of_the_operator_s_is_applied(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    (tmp_path / "logs.toml").write_text(
        """
version = 1
[formatters.mine]
"()" = "natsrpc.observe.logs.JsonFormatter"
[handlers.file]
class = "logging.FileHandler"
filename = "shop.log"
formatter = "mine"
[root]
level = "DEBUG"
handlers = ["file"]
"""
    )
    lines, error_id = await run(tmp_path, fresh_server, "--log-config", "logs.toml")
    assert not any("runs" in line for line in lines)
    written = [json.loads(line) for line in (tmp_path / "shop.log").read_text().splitlines()]
    assert {"outer runs", "inner details"} <= {each["message"] for each in written}
    assert [each["error_id"] for each in written if "error_id" in each] == [error_id]


async def test_an_ini_configuration_is_applied(tmp_path: Path, fresh_server: NatsServer) -> None:
    (tmp_path / "logs.ini").write_text(
        """
[loggers]
keys=root
[handlers]
keys=out
[formatters]
keys=mine
[logger_root]
level=INFO
handlers=out
[handler_out]
class=StreamHandler
formatter=mine
args=(sys.stderr,)
[formatter_mine]
format=ini: %(message)s
"""
    )
    lines, _ = await run(tmp_path, fresh_server, "--log-config", "logs.ini")
    assert line_of(lines, "outer runs") == "ini: outer runs"

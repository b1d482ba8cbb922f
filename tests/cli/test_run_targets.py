"""`natsrpc run`: several targets, of every kind; what is wrong is told before anything runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Command, run_command

pytestmark = pytest.mark.live

SERVICE = """
import os
import natsrpc

service = natsrpc.Service({name!r}, version="1.0.0")

@service.handler("{name}.pid", name="pid")
async def pid() -> int:
    return os.getpid()

def make() -> natsrpc.Service:
    return service
"""
NOWHERE = "nats://127.0.0.1:1"


def write(folder: Path, name: str, text: str = "") -> Path:
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or SERVICE.format(name=name))
    return path


async def drained(command: Command) -> int:
    command.signal(signal.SIGTERM)
    return await asyncio.to_thread(command.wait)


async def test_each_target_has_workers_of_its_own(tmp_path: Path, fresh_server: NatsServer) -> None:
    write(tmp_path, "shop")
    write(tmp_path, "billing")
    arguments = ("run", "shop:service", "billing.py", "-w", "2", "-s", fresh_server.url)
    with Command(*arguments, cwd=tmp_path) as command:
        await asyncio.to_thread(command.wait_for, "shop:service is served by 2 workers")
        await asyncio.to_thread(command.wait_for, "billing.py is served by 2 workers")
        async with natsrpc.connect(fresh_server.url) as client:
            shop = {await client.call("shop.pid", returns=int) for _ in range(50)}
            billing = {await client.call("billing.pid", returns=int) for _ in range(50)}
            assert (len(shop), len(billing)) == (2, 2)
            assert shop.isdisjoint(billing)
            os.kill(min(billing), signal.SIGKILL)
            line = await asyncio.to_thread(command.wait_for, "was killed by SIGKILL")
            assert " of billing.py (pid" in line
            await asyncio.to_thread(command.wait_for, "is back")
            assert {await client.call("shop.pid", returns=int) for _ in range(50)} == shop
        assert await drained(command) == 0


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("pkg/inner/svc.py:service", ()),
        ("pkg.inner.svc", ()),
        ("pkg/inner/svc.py:make", ("--factory",)),
        ("my-file.py", ()),
        ("queue.py:service", ()),
    ],
)
async def test_targets_of_every_kind_are_served(
    tmp_path: Path, fresh_server: NatsServer, target: str, flags: tuple[str, ...]
) -> None:
    text = SERVICE.format(name="kinds")
    relative = "from ..words import WORD\nfrom . import near\n"
    for folder in ("pkg", "pkg/inner"):
        write(tmp_path, f"{folder}/__init__", "# a package\n")
    write(tmp_path, "pkg/words", "WORD = 'word'\n")
    write(tmp_path, "pkg/inner/near", "NEAR = 1\n")
    write(tmp_path, "pkg/inner/svc", relative + text)
    write(tmp_path, "my-file", text)
    write(tmp_path, "queue", text)
    with Command("run", target, *flags, "-s", fresh_server.url, cwd=tmp_path) as command:
        await asyncio.to_thread(command.wait_for, f"{target} is served by 1 worker")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("kinds.pid", returns=int) > 0
        assert await drained(command) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "name at least one target"),
        ((".",), "'.' is no module"),
        (("",), "'' is no target"),
        (("good", "good"), "target 'good' is named twice"),
        (("missing.py",), "there is no file 'missing.py'"),
        (("missing",), "there is no module 'missing'"),
        (("good:other",), "has no attribute 'other'; name one: `good:service`"),
        (("good:make",), "'good:make' is a function: --factory calls it"),
        (("good:os",), "expected a Service or a list of them"),
        (("good", "--factory"), "is no plain function"),
        (("good", "twin.py"), "two services have the name 'good', in 'good' and 'twin.py'"),
        (("good", "missing"), "there is no module 'missing'"),
        (("good", "-o", "ping_interval"), "expected name=value"),
        (("good", "-o", "ping_intervall=3"), "did you mean 'ping_interval'?"),
        (("good", "-o", "ping_interval=soon"), "option 'ping_interval': 'soon' is no duration"),
        (("good", "-o", "max_pings_out=x"), "expected a whole number"),
        (("good", "-o", "echo=perhaps"), "expected true or false"),
        (("good", "-o", "on_error=x"), "needs a program of your own"),
        (("good", "-o", "codec=zz"), "codec 'zz'"),
        (("good", "-o", "inbox_prefix=a..b"), "a..b"),
        (("good", "-o", "max_body=-5"), "max_body is -5: expected 0 or more bytes"),
        (("good", "-o", "max_message_size=-5"), "max_message_size must be greater than 0"),
        (("good", "--ping-interval", "soon"), "option 'ping_interval': 'soon' is no duration"),
        (("good", "--drain-timeout", "soon"), "'soon' is no duration"),
        (("good", "--start-timeout", "soon"), "'soon' is no duration"),
        (("good", "--max-memory", "much"), "'much' is no size"),
        (("good", "--reload-dir", "nowhere"), "there is no folder 'nowhere'"),
        (("good", "--log-level", "loud"), "expected one of debug, info"),
        (("good", "--log-format", "xml"), "expected one of text, json"),
        (("good", "--log-config", "missing.json"), "'missing.json' cannot be read"),
        (("good", "--log-config", "bad.json"), "log configuration is refused"),
        (("good", "--log-config", "bad.ini"), "is refused: 'formatters' is missing"),
        (("good", "--log-config", "list.json"), "expected one of dictConfig"),
        (("good", "--http", "8080"), "expected HOST:PORT"),
        (("good", "--http", "127.0.0.1:99999"), "expected HOST:PORT"),
        (("good", "--http", "256.0.0.1:80"), "cannot listen at"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    write(tmp_path, "good")
    write(tmp_path, "twin", SERVICE.format(name="good"))
    (tmp_path / "bad.json").write_text('{"version": 1, "handlers": {"x": {"class": "no.such"}}}')
    (tmp_path / "bad.ini").write_text("[loggers]\nkeys=root\n")
    (tmp_path / "list.json").write_text("[]")
    code, out, err = run_command("run", *arguments, "-s", NOWHERE, cwd=tmp_path)
    assert text in err
    assert (code, out, err.count("\n")) == (2, "", 1), err


def test_how_long_a_start_may_take_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, "slow", "import threading\nthreading.Event().wait()\n")
    arguments = ("run", "slow", "--start-timeout", "300ms", "-s", NOWHERE)
    assert run_command(*arguments, cwd=tmp_path) == (1, "", "error: not ready within 0.3 s\n")


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    write(tmp_path, "good", "print('imported')\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run_command(
            "run", "good", "--http", f"127.0.0.1:{port}", "-s", NOWHERE, cwd=tmp_path
        )
    assert (code, out) == (2, "")
    assert err == f"error: port {port} of 127.0.0.1 is in use\n"


@pytest.mark.parametrize("folder", ["/nowhere/at/all", "/proc", "good.py"])
def test_a_metrics_folder_that_cannot_be_written_is_told(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "good", "print('imported')\n")
    code, out, err = run_command(
        "run", "good", "-s", NOWHERE, cwd=tmp_path, PROMETHEUS_MULTIPROC_DIR=folder
    )
    assert (code, out) == (2, "")
    assert err == (
        f"error: PROMETHEUS_MULTIPROC_DIR is {folder!r}, which is no folder to write to\n"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import sys\nsys.exit(3)", "called sys.exit(3) where it should only define services"),
        (
            "import asyncio\nasync def main() -> None: ...\nasyncio.run(main())",
            'put the call under `if __name__ == "__main__":`',
        ),
        (
            "import natsrpc\nnatsrpc.run(natsrpc.Service('x', version='1.0.0'))",
            'put the call under `if __name__ == "__main__":`',
        ),
        ("from .models import x", "has relative imports and is in no package"),
        ("import nowhere_at_all", "raised an error while it was loaded"),
        (
            "import socket\ntaken = socket.create_server(('127.0.0.1', 0))\n"
            "socket.create_server(taken.getsockname())",
            "an address that is in use, as by another worker that has loaded it; `natsrpc run",
        ),
        ("def f() -> None:\n    1 / 0\nf()", "raised an error while it was loaded"),
    ],
)
@pytest.mark.parametrize("command", [("run",), ("contract", "export")])
def test_a_module_that_cannot_be_loaded_shows_the_user_s_frames(
    tmp_path: Path, text: str, sentence: str, command: tuple[str, ...]
) -> None:
    write(tmp_path, "bad", text)
    code, out, err = run_command(*command, "bad.py:service", "-s", NOWHERE, cwd=tmp_path)
    assert (code, out) == (1, "")
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert sentence in first
    frames = [line for line in rest if line.strip().startswith("File ")]
    assert f'bad.py", line {text.count(chr(10)) + 1}' in frames[0]
    package = str(Path(natsrpc.__file__).parent)
    assert [line for line in frames if package in line or "importlib" in line] == []
    assert "never awaited" not in err


def test_a_lifespan_that_fails_shows_the_user_s_frames(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    text = """
import contextlib, natsrpc
@contextlib.asynccontextmanager
async def lifespan(service):
    raise RuntimeError("no database")
    yield
service = natsrpc.Service("s", version="1.0.0", lifespan=lifespan)
"""
    write(tmp_path, "bad", text)
    code, _, err = run_command("run", "bad.py", "-s", fresh_server.url, cwd=tmp_path)
    assert code == 1
    assert err.startswith("error: a service does not start\nTraceback")
    assert err.rstrip().endswith("RuntimeError: no database")
    assert str(Path(natsrpc.__file__).parent) not in err

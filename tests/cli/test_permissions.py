"""`natsrpc permissions`: it prints blocks that nats-server takes, for modules and live services."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell, run_command

MODULE = """
import natsrpc

service = natsrpc.Service("billing", version="1.0.0")

@service.handler("bills.{customer}.last", name="last")
async def last(customer: str) -> int:
    return 7

@service.subscriber("shop.{region}.placed")
async def bill(event: int) -> None:
    pass
"""
EVENTS = """
import natsrpc

service = natsrpc.Service("audit", version="1.0.0")

@service.subscriber("shop.>")
async def note(event: int) -> None:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "billing.py").write_text(MODULE, "utf-8")
    (tmp_path / "audit.py").write_text(EVENTS, "utf-8")
    (tmp_path / "wide.py").write_text(EVENTS.replace('"shop.>"', '"*.placed"'), "utf-8")
    return tmp_path


def blocks(text: str) -> list[str]:
    """The blocks of an output, without the comments above them."""
    return [part.partition("\n")[2] for part in text.split("# ")[1:]]


@pytest.mark.live
@pytest.mark.parametrize("extra", [(), ("--allow-responses",)])
async def test_what_is_printed_is_what_a_server_takes(folder: Path, extra: tuple[str, ...]) -> None:
    code, out, err = await asyncio.to_thread(
        run_command, "permissions", "billing.py", *extra, cwd=folder
    )
    assert (code, err) == (0, "")
    users = "\n".join(
        f"{{ user: u{number}, password: p, {block} }}" for number, block in enumerate(blocks(out))
    )
    with NatsServer(f"authorization {{ users: [\n{users}\n] }}") as server:
        async with (
            natsrpc.connect(
                server.url, user="u0", password="p", inbox_prefix="_INBOX.billing"
            ) as w,
            natsrpc.connect(server.url, user="u1", password="p", inbox_prefix="_INBOX.caller") as c,
            w.serve(billing),
        ):
            assert await c.call("bills.me.last", returns=int) == 7
            with pytest.raises(natsrpc.PermissionsError):
                await c.call("bills.other")


billing = natsrpc.Service("billing", version="1.0.0")


@billing.handler("bills.{customer}.last", name="last")
async def last(customer: str) -> int:
    return 7


def test_each_block_says_whose_it_is(folder: Path) -> None:
    _, out, _ = run_command("permissions", "billing.py", "--inbox", "_INBOX.b", cwd=folder)
    titles = [line for line in out.splitlines() if line.startswith("#")]
    assert titles == [
        "# serves billing; connects with inbox_prefix='_INBOX.b'",
        "# calls billing; connects with inbox_prefix='_INBOX.caller'",
        "# publishes the events that billing handles",
        "# finds billing, and asks how it is; connects with inbox_prefix='_INBOX.observer'",
    ]
    assert '"_INBOX.b.>"' in out


@pytest.mark.parametrize("role", ["service", "caller", "publisher", "observer"])
def test_one_block_may_be_asked_for(folder: Path, role: str) -> None:
    code, out, _ = run_command("permissions", "billing.py", f"--{role}", "--json", cwd=folder)
    assert (code, list(json.loads(out))) == (0, [role])
    code, out, _ = run_command("permissions", "billing.py", f"--{role}", cwd=folder)
    assert (code, out.count("permissions {")) == (0, 1)


def test_accounts(folder: Path) -> None:
    code, out, _ = run_command("permissions", "billing.py", "--account", "BILLING", cwd=folder)
    assert code == 0
    assert '{ service: "bills.*.last", response_type: stream }' in out
    assert '{ service: { account: BILLING, subject: "bills.*.last" } }' in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("audit.py", "--caller"), "'audit' has no endpoints to call: there is no caller of it"),
        (("billing.py", "--inbox", "a b"), "bad inbox prefix 'a b' of the service"),
        (("billing.py", "--caller-inbox", "_INBOX"), "the caller would read what answers the"),
        (("billing.py", "--account", "A", "--json"), "leave --json out"),
        (("billing.py", "--account", "A B"), "bad account 'A B'"),
        (("nobody", "-s", "nats://127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    code, out, err = run_command("permissions", *arguments, cwd=folder)
    assert (code, out) == (1 if "nobody" in arguments else 2, "")
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1


def test_what_allows_nearly_everything_is_told(folder: Path) -> None:
    code, _, err = run_command("permissions", "wide.py", cwd=folder)
    assert code == 0
    assert err.startswith("warning: '*.placed' of 'audit' begin with a wildcard")


async def test_live_service_is_asked(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("permissions", "cli-test", "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, err, list(found)) == (0, "", ["service", "caller", "observer"])
    assert "cli.echo" in found["caller"]["publish"]
    assert "cli.count q" in found["service"]["subscribe"]

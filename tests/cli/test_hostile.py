"""What hostile services, files and variables say, at the terminal of an operator."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import natsrpc
from natsrpc.cli.output import harmless, harmless_json, json_text
from natsrpc.core import Connection, Msg
from natsrpc.testing import NatsServer

from .processes import Command, Shell

pytestmark = pytest.mark.once

EVIL = (
    "nice\x1b]0;owned\x07\x1b[2J\x1b]52;c;cm0gLXJmIH4K\x07\x9b31m\r\u202egnp\u2066\u200b\x7f\u2028x"
)
HARMFUL = {"Cc", "Cs", "Zl", "Zp"}


def is_harmful(text: str) -> bool:
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return any(
        (unicodedata.category(letter) in HARMFUL and letter not in "\n\t")
        or unicodedata.bidirectional(letter) in bidi
        for letter in text
    )


async def _evil(connection: Connection) -> None:
    """Answer discovery and calls with escape sequences in every field."""
    identity = {"name": "evil", "id": f"ID{EVIL}", "version": "1.0.0", "metadata": {EVIL: EVIL}}
    endpoint = {"name": f"e{EVIL}", "subject": f"s{EVIL}", "queue_group": f"q{EVIL}"}
    schema = {
        "type": "object",
        "title": EVIL,
        "properties": {EVIL: {"type": "string"}},
        "required": [{}, EVIL],
    }

    async def discovery(msg: Msg) -> None:
        verb = msg.subject.split(".")[1].lower()
        said = {
            **identity,
            "type": f"io.nats.micro.v1.{verb}_response",
            "description": EVIL,
            "started": "2026-01-01T00:00:00Z",
            "endpoints": [
                endpoint
                | {"last_error": EVIL, "num_requests": 1, "description": EVIL, "request": schema}
            ],
        }
        await msg.respond(json.dumps(said).encode())

    async def fails(msg: Msg) -> None:
        headers = {
            "Nats-Service-Error": EVIL.replace("\r", ""),
            "Nats-Service-Error-Code": "500",
            "Natsrpc-Error": EVIL.replace("\r", ""),
        }
        await msg.respond(json.dumps({"message": EVIL, "details": EVIL}).encode(), headers)

    async def answers(msg: Msg) -> None:
        await msg.respond(json.dumps(EVIL).encode())

    await connection.subscribe("$SRV.>", cb=discovery)
    await connection.subscribe("evil.fails", cb=fails)
    await connection.subscribe("evil.answers", cb=answers)
    await connection.flush()


@pytest.mark.live
@pytest.mark.parametrize(
    "command",
    [
        ("ls",), ("ls", "--json"), ("info", "evil"), ("info", "evil", "--json"),
        ("info", "evil", "--schema"), ("stats",), ("stats", "--json"), ("ping",),
        ("call", "evil.fails"), ("call", "evil.answers"), ("call", f"evil.{EVIL}"),
        ("contract", "export", "evil"), ("contract", "diff", "evil", "evil"), ("stub", "evil"),
        ("permissions", "evil"), ("permissions", EVIL),
        ("info", EVIL), ("--context", EVIL, "ls"), ("ls", "--server", EVIL), ("run", EVIL),
    ],
    ids=lambda command: " ".join(command)[:25],
)  # fmt: skip
async def test_no_command_prints_what_a_terminal_would_act_on(
    fresh_server: NatsServer, command: tuple[str, ...]
) -> None:
    async with natsrpc.core.connect(fresh_server.url) as connection:
        await _evil(connection)
        _, out, err = await Shell(fresh_server.url)(*command)
    assert out + err
    assert not is_harmful(out), out
    assert not is_harmful(err), err
    assert "Traceback" not in err


ODD = {
    "a frame": (b"1", {"Natsrpc-Frame": EVIL.replace("\r", "")}),
    "a code": (b"1", {"Nats-Service-Error": "x", "Nats-Service-Error-Code": "\x1b[2J"}),
    "another header": (b"1", {"Title": "\x1b[2J"}),
    "text": (EVIL.encode(), {}),
    "keys that are bytes": (b"\x81\xc4\x01a\x01", {"Content-Type": "application/msgpack"}),
    "bytes": (b"\x91\xc4\x01a", {"Content-Type": "application/msgpack"}),
    "no number": (b"\xcb\x7f\xf8" + bytes(6), {"Content-Type": "application/msgpack"}),
    "depth": (b"\x91" * 1020 + b"\x01", {"Content-Type": "application/msgpack"}),
    "depth of JSON": (b"[" * 5000 + b"]" * 5000, {}),
}


@pytest.mark.live
@pytest.mark.parametrize("flags", [("-H",), ("--json",)])
async def test_tap_shows_whatever_strangers_send(
    fresh_server: NatsServer, flags: tuple[str, ...]
) -> None:
    arguments = ("tap", "x.>", "-n", str(len(ODD)), *flags, "-s", fresh_server.url)
    with Command(*arguments) as command:
        await asyncio.to_thread(command.wait_for, "listening on x.>")
        async with natsrpc.core.connect(fresh_server.url) as connection:
            for data, headers in ODD.values():
                await connection.publish("x.y", data, headers=headers or None)
        assert await asyncio.to_thread(command.wait) == 0
    assert not is_harmful(command.output), command.output
    if flags == ("--json",):
        told = [json.loads(line) for line in command.lines if line.startswith("{")]
        assert len(told) == len(ODD)
        assert told[4]["value"] == {"YQ==": 1}
        assert told[5]["value"] == [{"base64": "YQ=="}]
        assert told[6]["value"] == "nan"
        assert told[7]["base64"].startswith("kZGR")


@given(
    st.recursive(
        st.none() | st.floats() | st.binary() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.binary() | st.text() | st.integers() | st.none(), inner)
        ),
    )
)
def test_any_value_is_json_that_does_nothing(value: Any) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    text = json_text(value)
    json.loads(text, parse_constant=refuse)
    assert not is_harmful(text)


@given(st.text())
def test_harmless_text_says_the_same_in_escapes(text: str) -> None:
    shown = harmless(text)
    assert not is_harmful(shown)
    assert "\n" not in shown
    if "\\" not in text:
        assert shown.encode("latin-1", "backslashreplace").decode("unicode_escape") == text


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_harmless_json_has_the_same_value(value: Any) -> None:
    text = harmless_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert not is_harmful(text)
    assert json.loads(text) == value

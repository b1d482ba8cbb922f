"""`natsrpc call`, beside a running service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import PROGRAM, ROOT, Shell, environment

pytestmark = pytest.mark.live


async def test_answer_is_printed_as_json(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.echo", '{"a": 1}')
    assert (code, json.loads(out), err) == (0, {"a": 1}, "")


async def test_request_is_read_from_stdin(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.echo", "-", stdin='{"b": 2}')
    assert (code, json.loads(out)) == (0, {"b": 2})


async def test_headers_travel(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.header", "-H", "Who: me")
    assert (code, json.loads(out)) == (0, "me")


async def test_items_of_a_stream_are_printed_one_a_line(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.count", "2", "--stream")
    assert (code, out.splitlines(), err) == (0, ["0", "1", "null"], "")


async def test_a_stream_that_fails_prints_what_came_before(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.count", "3", "--stream")
    assert (code, out.splitlines()) == (4, ["0", "1", "2", "null"])
    assert err == "error: 404 NotFoundError: no more of them\n"


async def test_raw_bytes_pass_as_they_are(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.raw", "abc", "--raw")
    assert (code, out) == (0, "cba")


async def test_error_of_the_service_is_one_line(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.missing")
    assert (code, out) == (4, "")
    assert err == 'error: 404 NotFoundError: there is no such thing {"id": 7}\n'


async def test_field_at_fault_is_named(natsrpc_command: Shell) -> None:
    code, _, err = await natsrpc_command("call", "cli.echo", '{"a": "x"}')
    assert code == 4
    assert err.startswith("error: 422 InvalidRequestError: ")
    assert '"path": "a"' in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        (("nobody.here", "{}"), "no responders: nobody is subscribed to 'nobody.here'", 3),
        (("cli.echo", "{"), "the request is no JSON", 2),
        (("cli.echo", "{}", "-H", "nonsense"), "'nonsense' is no header", 2),
        (("cli.echo", "{}", "-t", "soon"), "'soon' is no duration", 2),
        (("cli.echo", "{}", "--codec", "nonsense"), "nonsense", 2),
        (("cli.echo", "@/nowhere/at/all"), "cannot read '/nowhere/at/all'", 2),
        (("cli.echo", "{}", "-o", "/nowhere/at/all"), "cannot write '/nowhere/at/all'", 2),
        (("not valid", "{}"), "not valid", 2),
        (("cli.sleep", "-t", "300ms"), "within 0.3 s", 5),
        (("cli.echo", "[" * 100_000), "the request is nested too deeply", 2),
        (("cli.echo", "[" * 300 + "]" * 300), "cannot encode", 1),
        (("cli.echo", os.fsdecode(b'"\xff"')), "the request is no JSON", 2),
        (("cli.sum", "[1, 2]"), "'cli.sum' takes a stream: --items gives the items to send", 2),
        (("cli.sum", "-", "--items", "-"), "stdin cannot be the request and its items", 2),
        (("cli.sum", "--items", "[1, "), "the request is no JSON", 2),
    ],
)
async def test_mistakes_are_one_line_with_a_code_of_their_kind(
    natsrpc_command: Shell, arguments: tuple[str, ...], text: str, expected: int
) -> None:
    code, out, err = await natsrpc_command("call", *arguments)
    assert (code, out) == (expected, "")
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1


async def test_other_codecs_can_be_chosen(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.echo", '{"a": 1}', "--codec", "msgpack")
    assert (code, json.loads(out)) == (0, {"a": 1})


async def test_empty_reply_prints_nothing(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.nothing") == (0, "", "")


async def test_a_stream_is_read_to_its_end_without_a_flag(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.count", "2")
    assert (code, out.splitlines(), err) == (0, ["0", "1", "null"], "")
    code, out, err = await natsrpc_command("call", "cli.count", "3")
    assert (code, out.splitlines()) == (4, ["0", "1", "2", "null"])


async def test_a_stream_of_one_item_is_told_from_an_answer(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.count", "0", "--stream") == (0, "null\n", "")


async def test_bytes_of_a_typed_endpoint_are_printed(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.bytes", "5") == (0, "\0\1\2\3\4", "")


async def test_a_large_answer_is_printed_whole(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.bytes", "3000000")
    assert (code, len(out.encode("latin-1", "replace")), err) == (0, 3_000_000, "")


async def test_a_large_request_is_sent_from_a_file(natsrpc_command: Shell, tmp_path: Path) -> None:
    text = json.dumps({f"key{n}": n for n in range(120_000)})
    assert len(text) > 2**20
    path = tmp_path / "body.json"
    path.write_text(text)
    code, out, _ = await natsrpc_command("call", "cli.echo", f"@{path}")
    assert code == 0
    assert json.loads(out) == json.loads(text)


async def test_the_answer_is_written_to_a_file(natsrpc_command: Shell, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    code, out, _ = await natsrpc_command("call", "cli.bytes", "300", "-o", str(path))
    assert (code, out) == (0, "")
    assert path.read_bytes() == bytes(n % 128 for n in range(300))


async def test_a_service_of_others_is_called(
    natsrpc_command: Shell, fresh_server: NatsServer
) -> None:
    async with natsrpc.core.connect(fresh_server.url) as connection:

        async def answer(msg: natsrpc.Msg) -> None:
            await msg.respond(b'{"a": [1]}')

        await connection.subscribe("others.answer", cb=answer)
        await connection.flush()
        code, out, err = await natsrpc_command("call", "others.answer")
    assert (code, json.loads(out), err) == (0, {"a": [1]}, "")


async def test_json_is_a_line_for_each_answer(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.echo", '{"a": 1}', "--json") == (0, '{"a": 1}\n', "")
    assert await natsrpc_command("call", "cli.nothing", "--json") == (0, "null\n", "")
    assert await natsrpc_command("call", "cli.count", "1", "--json") == (0, "0\nnull\n", "")
    code, out, _ = await natsrpc_command("call", "cli.raw", "cba", "--raw", "--json")
    assert (code, json.loads(out)) == (0, {"base64": "YWJj"})


async def test_json_has_the_error_of_a_service_as_a_line(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.missing", "--json")
    assert (code, out) == (4, "")
    assert json.loads(err) == {
        "error": {
            "code": 404,
            "name": "NotFoundError",
            "message": "there is no such thing",
            "details": {"id": 7},
        }
    }


@pytest.mark.parametrize("text", ["[1, 2, 3]", "[1,\n2,\n3]", "1\n2\n\n3\n"])
async def test_items_are_a_list_or_one_on_each_line(natsrpc_command: Shell, text: str) -> None:
    assert await natsrpc_command("call", "cli.sum", "--items", text) == (0, "6\n", "")
    assert await natsrpc_command("call", "cli.double", "-i", "-", stdin=text) == (
        0,
        "2\n4\n6\n",
        "",
    )


async def test_no_items_are_a_stream_too(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.sum", "--items", "[]") == (0, "0\n", "")


async def test_items_that_an_endpoint_does_not_take_are_not_lost_silently(
    natsrpc_command: Shell,
) -> None:
    code, out, err = await natsrpc_command("call", "cli.header", "--items", "[1]")
    assert (code, out) == (2, '""\n')
    assert err == "error: 'cli.header' takes no stream of items: none was sent\n"


async def test_bytes_that_are_no_text_are_sent_raw(natsrpc_command: Shell) -> None:
    body = os.fsdecode(b"a\xff")
    code, out, _ = await natsrpc_command("call", "cli.raw", body, "--raw", "--json")
    assert (code, json.loads(out)) == (0, {"base64": "/2E="})


async def test_keys_that_json_has_no_form_for_are_shown(natsrpc_command: Shell) -> None:
    for flags in ((), ("--json",)):
        code, out, err = await natsrpc_command("call", "cli.odd", "--codec", "msgpack", *flags)
        assert (code, json.loads(out), err) == (0, {"Yf8=": 1}, "")


@pytest.mark.parametrize(
    ("arguments", "code", "kept"),
    [
        (("nobody.here",), 3, b"before"),
        (("cli.missing",), 4, b"before"),
        (("cli.count", "3"), 4, b"012null"),
        (("cli.sum", "--items", "[]"), 0, b"0"),
        (("cli.double", "--items", "[]"), 0, b""),
    ],
)
async def test_a_file_is_emptied_by_the_first_answer(
    natsrpc_command: Shell, tmp_path: Path, arguments: tuple[str, ...], code: int, kept: bytes
) -> None:
    path = tmp_path / "answer"
    path.write_bytes(b"before")
    assert (await natsrpc_command("call", *arguments, "-o", str(path)))[0] == code
    assert path.read_bytes() == kept


async def test_a_file_of_a_call_that_failed_is_not_made(
    natsrpc_command: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "answer"
    assert (await natsrpc_command("call", "nobody.here", "-o", str(path)))[0] == 3
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("command", [("call", "x.y", "-"), ("publish", "x.y", "-"),
                                     ("contract", "diff", "-", "-")])  # fmt: skip
def test_an_interrupt_ends_a_command_that_waits_for_stdin(command: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, *command],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        # more than a pipe holds: once it is written, the command is reading, and it reads on
        process.stdin.write(b" " * 2**20)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert process.stderr.read() == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
async def test_what_an_encoding_lacks_is_printed_as_an_escape(
    fresh_server: NatsServer, encoding: str
) -> None:
    said = natsrpc.Service("said", version="1.0.0", description="é 説明 \U0001f600")

    @said.handler("said.text")
    async def text() -> str:
        return said.description

    async with natsrpc.connect(fresh_server.url) as client, client.serve(said):
        for command in (("ls",), ("call", "said.text"), ("bench", "said.text", "-n", "1")):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, *PROGRAM, *command],
                cwd=ROOT,
                env=environment(NATS_URL=fresh_server.url, PYTHONIOENCODING=encoding),
                capture_output=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
            out = done.stdout.decode(encoding)
            if command[0] == "call":
                assert json.loads(out) == said.description
            else:
                assert r"\u8aac\u660e \ud83d\ude00" in out or r"\u2264" in out

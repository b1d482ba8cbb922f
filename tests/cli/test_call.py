"""`natsrpc call`, beside a running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

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

"""`natsrpc call`, beside a running service."""

from __future__ import annotations

import json

import pytest

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
    assert (code, out.splitlines()) == (1, ["0", "1", "2", "null"])
    assert err == "error: 404 NotFoundError: no more of them\n"


async def test_raw_bytes_pass_as_they_are(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.raw", "abc", "--raw")
    assert (code, out) == (0, "cba")


async def test_error_of_the_service_is_one_line(natsrpc_command: Shell) -> None:
    code, out, err = await natsrpc_command("call", "cli.missing")
    assert (code, out) == (1, "")
    assert err == 'error: 404 NotFoundError: there is no such thing {"id": 7}\n'


async def test_field_at_fault_is_named(natsrpc_command: Shell) -> None:
    code, _, err = await natsrpc_command("call", "cli.echo", '{"a": "x"}')
    assert code == 1
    assert err.startswith("error: 422 InvalidRequestError: ")
    assert '"path": "a"' in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nobody.here", "{}"), "no responders: nobody is subscribed to 'nobody.here'"),
        (("cli.echo", "{"), "the request is no JSON"),
        (("cli.echo", "{}", "-H", "nonsense"), "'nonsense' is no header"),
        (("cli.echo", "{}", "-t", "soon"), "'soon' is no duration"),
        (("cli.echo", "{}", "--codec", "nonsense"), "nonsense"),
        (("not valid", "{}"), "not valid"),
    ],
)
async def test_mistakes_are_one_line(
    natsrpc_command: Shell, arguments: tuple[str, ...], text: str
) -> None:
    code, out, err = await natsrpc_command("call", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1


async def test_other_codecs_can_be_chosen(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.echo", '{"a": 1}', "--codec", "msgpack")
    assert (code, json.loads(out)) == (0, {"a": 1})


async def test_empty_reply_prints_nothing(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.nothing") == (0, "", "")

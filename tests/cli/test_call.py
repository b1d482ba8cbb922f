"""`natsrpc call`, and `ls`, `info`, `stats`, `ping`, beside a running service."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import run_command

pytestmark = pytest.mark.live

service = natsrpc.Service("cli-test", version="1.2.3", description="for the command line")


@service.handler("cli.echo", name="echo")
async def echo(value: dict[str, int]) -> dict[str, int]:
    return value


@service.handler("cli.header", name="header")
async def header(message: natsrpc.Msg) -> str:
    return message.headers.get("Who") or ""


@service.handler("cli.raw", name="raw")
async def raw(body: bytes) -> bytes:
    return body[::-1]


@service.handler("cli.missing", name="missing")
async def missing() -> None:
    raise natsrpc.NotFoundError("there is no such thing", details={"id": 7})


@service.handler("cli.nothing", name="nothing")
async def nothing() -> None:
    pass


@service.handler("cli.count", name="count")
async def count(to: int) -> AsyncIterator[int | None]:
    for n in range(to):
        yield n
    yield None
    if to > 2:
        raise natsrpc.NotFoundError("no more of them")


class Shell:
    """The command, run beside the service."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await asyncio.to_thread(run_command, *arguments, stdin=stdin, NATS_URL=self.url)


@pytest.fixture
async def natsrpc_command(fresh_server: NatsServer) -> AsyncIterator[Shell]:
    async with natsrpc.connect(fresh_server.url) as client, client.serve(service):
        yield Shell(fresh_server.url)


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


async def test_ls_shows_services_and_their_subjects(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ls")
    assert code == 0
    assert "cli-test" in out
    assert "1.2.3" in out
    assert "cli.echo" in out
    code, out, _ = await natsrpc_command("ls", "--json")
    assert code == 0
    assert json.loads(out)[0]["name"] == "cli-test"


async def test_info_shows_endpoints(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("info", "cli-test")
    assert code == 0
    assert "for the command line" in out
    assert "cli.missing" in out
    code, out, _ = await natsrpc_command("info", "cli-test", "--json")
    assert [e["name"] for e in json.loads(out)[0]["endpoints"]] == [
        "echo",
        "header",
        "raw",
        "missing",
        "nothing",
        "count",
    ]


async def test_stats_count_requests_and_errors(natsrpc_command: Shell) -> None:
    await natsrpc_command("call", "cli.missing")
    code, out, _ = await natsrpc_command("stats", "cli-test", "--json")
    assert code == 0
    counts = {
        e["name"]: (e["num_requests"], e["num_errors"]) for e in json.loads(out)[0]["endpoints"]
    }
    assert counts["missing"] == (1, 1)
    assert counts["echo"] == (0, 0)
    code, out, _ = await natsrpc_command("stats")
    assert code == 0
    assert ["missing", "cli.missing", "1", "1"] in [line.split()[2:6] for line in out.splitlines()]


async def test_info_shows_each_version_that_runs(fresh_server: NatsServer) -> None:
    def of_version(version: str) -> natsrpc.Service:
        found = natsrpc.Service("mixed", version=version)

        @found.handler(f"mixed.since{version[0]}", name="since")
        async def since() -> str:
            return version

        return found

    versions = [of_version(version) for version in ("2.0.0", "1.0.0", "2.0.0")]
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(natsrpc.connect(fresh_server.url))
        for version in versions:
            await stack.enter_async_context(client.serve(version))
        code, out, _ = await Shell(fresh_server.url)("info", "mixed")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line for line in lines if line[0] == "mixed"] == [
        ["mixed", "1.0.0"],
        ["mixed", "2.0.0"],
    ]
    assert [line[1] for line in lines if line[0] == "since"] == ["mixed.since1", "mixed.since2"]
    assert [len(line) - 1 for line in lines if line[0] == "instances"] == [1, 2]


async def test_what_services_say_is_shown_as_it_is(fresh_server: NatsServer) -> None:
    texts = ["a [red]word[/red], :b: and [/nothing]", "code 422:b: x"]
    said = natsrpc.Service("said", version="1.0.0", description=texts[0])

    @said.handler("said.error")
    async def error() -> None:
        raise natsrpc.RpcError(texts[1])

    shell = Shell(fresh_server.url)
    async with natsrpc.connect(fresh_server.url) as client, client.serve(said):
        with pytest.raises(natsrpc.RpcError):
            await client.call(error)
        for verb, text in zip(("ls", "stats"), texts, strict=True):
            code, out, err = await shell(verb)
            assert (code, err) == (0, "")
            assert text in out


async def test_ping_lists_the_instances(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ping")
    assert code == 0
    assert "cli-test" in out
    assert "ms" in out


async def test_service_that_is_not_there_is_one_line(natsrpc_command: Shell) -> None:
    for verb in ("info", "stats", "ping"):
        code, _, err = await natsrpc_command(verb, "nobody")
        assert (code, err) == (1, "error: no service 'nobody' answered\n")


@pytest.mark.parametrize("verb", ["ls", "stats", "ping"])
async def test_no_services_at_all_is_said(fresh_server: NatsServer, verb: str) -> None:
    shell = Shell(fresh_server.url)
    assert await shell(verb, "-t", "300ms") == (0, "", "no services answered\n")
    assert await shell(verb, "-t", "300ms", "--json") == (0, "[]\n", "")


async def test_schema_of_requests_and_replies_is_printed(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("info", "cli-test", "--schema")
    assert code == 0
    assert "cli.echo" in out
    json.loads(out)


async def test_other_codecs_can_be_chosen(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("call", "cli.echo", '{"a": 1}', "--codec", "msgpack")
    assert (code, json.loads(out)) == (0, {"a": 1})


async def test_empty_reply_prints_nothing(natsrpc_command: Shell) -> None:
    assert await natsrpc_command("call", "cli.nothing") == (0, "", "")

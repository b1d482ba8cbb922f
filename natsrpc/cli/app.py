"""The command line's parser: every command under its name. `main` loads and runs it."""

from __future__ import annotations

from typing import Annotated

import typer

from natsrpc.version import __version__

from . import (
    bench,
    call,
    config,
    contract,
    dead,
    demo,
    docs,
    gateway,
    info,
    kv,
    ls,
    new,
    permissions,
    ping,
    publish,
    run,
    server,
    stats,
    streams,
    stub,
    tap,
)
from .command import connecting

__all__ = ["app"]

app: typer.Typer = typer.Typer(
    help="Typed services on NATS: run them, call them, find them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"natsrpc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the command itself, which need no subcommand."""


app.command("run")(connecting(run.run, settle=config.with_connection))
app.command("call")(connecting(call.call))
app.command("publish")(connecting(publish.publish))
app.command("ls")(connecting(ls.ls))
app.command("info")(connecting(info.info))
app.command("stats")(connecting(stats.stats))
app.command("tap")(connecting(tap.tap))
app.command("bench")(connecting(bench.bench))
app.command("docs")(connecting(docs.docs))
app.command("gateway")(connecting(gateway.gateway))
app.command("ping")(connecting(ping.ping))
app.command("server", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    server.server
)
app.add_typer(contract.app, name="contract")
app.add_typer(streams.app, name="streams")
app.add_typer(kv.app, name="kv")
app.add_typer(dead.app, name="dead")
app.command("stub")(connecting(stub.stub))
app.command("permissions")(connecting(permissions.permissions))
app.command("new")(new.new)
app.command("demo")(demo.demo)

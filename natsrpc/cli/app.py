"""The commands, put together."""

from __future__ import annotations

import typer

from . import call, contract, demo, info, ls, ping, run, server, stats, stub
from .command import connecting

__all__ = ["app"]

app = typer.Typer(
    help="Typed services on NATS: run them, call them, find them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(connecting(run.run))
app.command("call")(connecting(call.call))
app.command("ls")(connecting(ls.ls))
app.command("info")(connecting(info.info))
app.command("stats")(connecting(stats.stats))
app.command("ping")(connecting(ping.ping))
app.command("server", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    server.server
)
app.add_typer(contract.app, name="contract")
app.command("stub")(connecting(stub.stub))
app.command("demo")(demo.demo)

"""The flags of `natsrpc run`: what typer shows and checks of each, as annotations.

None stands for a flag that was not given: then the file with settings says it, or the default.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .logs import LOG_LEVELS

_WORKERS, _OBSERVE = "Workers", "Observe"

Targets = Annotated[
    list[str] | None,
    typer.Argument(help="`module:service` or `path/to/file.py:service`, any number of them."),
]

Workers = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=1, help="Processes of each target.", show_default="1"),
]

Embedded = Annotated[
    bool | None, typer.Option("--embedded", help="Start a nats-server of our own first.")
]

Factory = Annotated[
    bool | None,
    typer.Option("--factory", help="Targets name functions that make the services."),
]

ConnectOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="Connection option, as `ping_interval=10`."),
]

Reload = Annotated[
    bool | None, typer.Option("--reload", help="Replace the workers when a .py file changes.")
]

ReloadDir = Annotated[
    list[str] | None,
    typer.Option("--reload-dir", help="Folder to look at instead; implies --reload."),
]

DrainTimeout = Annotated[
    str | None,
    typer.Option(
        help="How long workers may take to finish what they have.",
        show_default="30s",
        rich_help_panel=_WORKERS,
    ),
]

PingInterval = Annotated[
    str | None,
    typer.Option(
        help="Between two PINGs to the server; after three of them it is left.",
        show_default="15s",
    ),
]

StartTimeout = Annotated[
    str | None,
    typer.Option(
        help="How long a worker may take to import and start its services.",
        show_default="30s",
        rich_help_panel=_WORKERS,
    ),
]

WorkerTimeout = Annotated[
    str | None,
    typer.Option(
        help="Replace a worker that does not answer for so long; 0 never does.",
        show_default="30s",
        rich_help_panel=_WORKERS,
    ),
]

MaxRequests = Annotated[
    int | None,
    typer.Option(min=0, help="Replace a worker after so many requests.", rich_help_panel=_WORKERS),
]

MaxMemory = Annotated[
    str | None,
    typer.Option(help="Replace a worker that holds more, as in 512MiB.", rich_help_panel=_WORKERS),
]

Uvloop = Annotated[
    bool | None,
    typer.Option("--uvloop", help="Use uvloop's event loop.", rich_help_panel=_WORKERS),
]

Http = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT for /livez, /readyz, /metrics and /info.", rich_help_panel=_OBSERVE
    ),
]

LogLevel = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(LOG_LEVELS)}.", show_default="info", rich_help_panel=_OBSERVE),
]

LogFormat = Annotated[
    str | None,
    typer.Option(help="text or json.", show_default="text", rich_help_panel=_OBSERVE),
]

LogConfig = Annotated[
    str | None,
    typer.Option(help="File for logging.config: .json, .toml or .ini.", rich_help_panel=_OBSERVE),
]

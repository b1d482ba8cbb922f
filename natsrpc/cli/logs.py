"""How worker processes log, and the supervisor besides. Nothing that a service has set up changes.

In a worker the root logger gets a handler last of all, and only if it has none: Python's own last
resort writes the lines until then, so that a `basicConfig` in the service's module, or in its
lifespan, works as it does in a program of its own.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natsrpc.errors import ConfigError

from .output import say
from .settings import LogSettings

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "begin_logging", "finish_logging", "read_config", "sayer"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")


def begin_logging(settings: LogSettings) -> None:
    """Prepare for what is logged while the services are imported and started.

    Raises:
        ConfigError: the configuration is refused.
    """
    if settings.config is not None:
        _configure(settings.config)
        return
    logging.captureWarnings(True)
    logging.lastResort = _handler(settings)


def finish_logging(settings: LogSettings, *, last: bool) -> None:
    """Set the level, and with `last` the handler, unless the services have set up their own.

    A worker calls it when its services are imported, and with `last` when they have started.
    """
    root = logging.getLogger()
    if settings.config is not None or root.handlers:
        return
    if root.level == logging.WARNING:  # what it is if nobody has set it
        root.setLevel(settings.level.upper())
    if last:
        root.addHandler(_handler(settings))


def _handler(settings: LogSettings) -> logging.Handler:
    from natsrpc.observe import logs

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logs.JsonFormatter() if settings.format == "json" else logs.TextFormatter()
    )
    return handler


def read_config(file: str) -> dict[str, Any] | str:
    """Read a log configuration: JSON or TOML for `dictConfig`; other files are for `fileConfig`.

    Raises:
        ConfigError: it cannot be read.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix not in (".json", ".toml"):
            return str(path.resolve())
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the log configuration {file!r} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(
            f"the log configuration {file!r} is no object: expected one of dictConfig"
        )
    # else it would silence what is imported already, natsrpc's own loggers among it
    return {"version": 1, "disable_existing_loggers": False, **found}


def _configure(config: dict[str, Any] | str) -> None:
    try:
        if isinstance(config, str):
            logging.config.fileConfig(config, disable_existing_loggers=False)
        else:
            logging.config.dictConfig(config)
    except Exception as error:
        cause = error.__cause__ or error.__context__
        why = f"{error}: {cause}" if cause is not None else str(error)
        raise ConfigError(f"the log configuration is refused: {' '.join(why.split())}") from None


def sayer(format: str) -> Callable[[str], None]:
    """The function that tells the supervisor's events: plain lines, or JSON as workers write it."""
    if format != "json":
        return say
    from natsrpc.observe import logs

    formatter = logs.JsonFormatter()

    def say_json(text: str) -> None:
        say(
            formatter.format(
                logging.makeLogRecord(
                    {
                        "name": "natsrpc.run",
                        "msg": text,
                        "levelno": logging.INFO,
                        "levelname": "INFO",
                    }
                )
            )
        )

    return say_json

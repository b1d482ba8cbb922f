"""How worker processes log, and the supervisor besides. Nothing that a service has set up changes.

In a worker the root logger gets a handler last of all, and only if it has none: Python's own last
resort writes the lines until then, so that a `basicConfig` in the service's module, or in its
lifespan, works as it does in a program of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from natsrpc.errors import ConfigError

from .output import harmless_json, say
from .settings import LogSettings

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "begin_logging", "finish_logging", "read_config", "sayer"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")


_OURS = "natsrpc.run"


class _Level(int):
    """A level that was set here. By its identity it is told from the same level set by a service,
    which stays."""


def begin_logging(settings: LogSettings) -> None:
    """Prepare for what is logged while the services are imported and started.

    Raises:
        ConfigError: the configuration is refused.
    """
    if settings.config is not None:
        _configure(settings.config)
        return
    logging.getLogger().setLevel(_Level(logging.WARNING))  # as Python has it
    logging.lastResort = _handler(settings)
    _log_warnings()


def finish_logging(settings: LogSettings, *, last: bool) -> None:
    """Set the level, and with `last` the handler, unless the services have set up their own.

    A worker calls it when its services are imported, and with `last` when they have started.
    """
    if settings.config is not None:
        return
    root, has_own = logging.getLogger(), _has_own_handlers()
    if isinstance(root.level, _Level):
        # a handler of the service's may have come since the level was set: then Python's is due
        root.setLevel(
            logging.WARNING if has_own else _Level(getattr(logging, settings.level.upper()))
        )
    if last and not has_own:
        root.addHandler(_handler(settings))


def _has_own_handlers() -> bool:
    """Whether the service has given the root logger a handler."""
    return any(handler.name != _OURS for handler in logging.getLogger().handlers)


def _log_warnings() -> None:
    """Log what `warnings` shows, for as long as the service has no handlers of its own: from then
    on, `logging.captureWarnings` is for it to call, which replaces this."""
    show = warnings.showwarning

    def log(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None or _has_own_handlers():
            show(message, category, filename, lineno, file, line)
        else:
            text = warnings.formatwarning(message, category, filename, lineno, line)
            logging.getLogger("py.warnings").warning("%s", text)

    warnings.showwarning = log


def _handler(settings: LogSettings) -> logging.Handler:
    from natsrpc.observe import logs

    handler = logging.StreamHandler(sys.stderr)
    handler.name = _OURS
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
        why = _words(error) if cause is None else f"{_words(error)}: {_words(cause)}"
        raise ConfigError(f"the log configuration is refused: {' '.join(why.split())}") from None


def _words(error: BaseException) -> str:
    """An error's text; that of a key which is missing is only the key."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def sayer(format: str) -> Callable[[str], None]:
    """The function that tells the supervisor's events: plain lines, or JSON as workers write it.

    Where nobody takes them any more (the reader of a pipe has gone, a disk is full), they are lost:
    the pool is kept alive all the same.
    """
    lines = _json_lines() if format == "json" else str

    def tell(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            say(lines(text))

    return tell


def _json_lines() -> Callable[[str], str]:
    from natsrpc.observe import logs

    formatter = logs.JsonFormatter()
    fields = {"name": _OURS, "levelno": logging.INFO, "levelname": "INFO"}
    return lambda text: harmless_json(
        formatter.format(logging.makeLogRecord({**fields, "msg": text}))
    )

"""The functions that a service's own program gives to hear of it: at its end, of its errors, and
for the figures that it adds to STATS. What one of them raises is logged, and ends nothing else."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from natsrpc.core import Throttle
from natsrpc.errors import ConfigError, ConfigTypeError

logger: logging.Logger = logging.getLogger("natsrpc.server")

OnDone: TypeAlias = Callable[[], Any]
"""Called, plain or async, when a service has ended on one connection."""

OnError: TypeAlias = Callable[[str, Exception], object]
"""Called with the subject of an endpoint, and what went wrong there that no request tells."""

Figures: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Called with an endpoint's name for each answer to STATS; gives what is shown beside ours."""

RESERVED = "natsrpc"
"""The key under which our own figures stand."""


@dataclass(slots=True, eq=False)
class ServiceCallbacks:
    """Those of one service. Made by `Service`, called by its running ones and by discovery.

    Raises:
        ConfigError: one of them cannot be called, or must not be async and is.
    """

    on_done: OnDone | None = None
    on_error: OnError | None = None
    figures: list[Figures] = field(default_factory=list)
    _throttle: Throttle = field(default_factory=lambda: Throttle(logger))

    def __post_init__(self) -> None:
        for name in ("on_done", "on_error"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise ConfigTypeError(f"{name} must be callable, not {function!r}")
        if self.on_error is not None:
            _check_plain("on_error", self.on_error)

    def add_figures(self, function: Figures) -> None:
        """Take the function that gives figures for STATS: there is one at most."""
        if not callable(function):
            raise ConfigTypeError(f"stats must be given a function, not {function!r}")
        _check_plain("stats", function)
        if self.figures:
            raise ConfigError(
                f"the service has the function {self.figures[0]!r} for its stats: have that one "
                "give the figures of both"
            )
        self.figures.append(function)

    async def done(self, service: str) -> None:
        """The service has ended on one connection."""
        if self.on_done is None:
            return
        try:
            result = self.on_done()
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("on_done of service %s raised", service)

    def failed(self, service: str, subject: str, error: Exception) -> None:
        """Something went wrong at an endpoint that no answer tells."""
        if self.on_error is None:
            return
        try:
            self.on_error(subject, error)
        except Exception:
            logger.exception("on_error of service %s raised", service)

    def shown(self, service: str, endpoint: str) -> dict[str, Any]:
        """The program's figures of one endpoint; none where they are no JSON, or are not to be
        had: a service must not become invisible by them."""
        if not self.figures:
            return {}
        try:
            given = self.figures[0](endpoint)
            if not isinstance(given, Mapping):
                raise ConfigTypeError(f"expected a mapping, not {type(given).__name__}")
            text = json.dumps(dict(given), allow_nan=False)
            found: dict[str, Any] = json.loads(text)
            if RESERVED in found:
                raise ConfigError(f"the key {RESERVED!r} is for the figures of natsrpc itself")
        except Exception as error:
            text = "the stats function of service %s failed for endpoint %r: %r"
            self._throttle.warning(endpoint, text, service, endpoint, error)
            return {}
        return found


def _check_plain(name: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function):
        raise ConfigError(f"{name} must be a plain function: it is called in place")

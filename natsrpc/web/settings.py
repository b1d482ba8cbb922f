"""`Settings`: the options of a gateway, checked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from natsrpc.errors import ConfigError

from .routes import Target
from .terms import HeaderList

__all__ = ["Authorize", "Settings"]

_host = re.compile(r"\[[0-9a-f:.]+\]|[^][\s/:@]+").fullmatch

Authorize = Callable[[HTTPConnection, Target | None], Awaitable[Mapping[str, str] | None]]
"""An auth hook: `async def authorize(request, target)`.

It is called before anything of the request's body is read. `target` is the endpoint that is called,
None for the gateway's own documents. It raises an `RpcError` (`UnauthorizedError`,
`ForbiddenError`) to refuse the request, and may return headers for the service.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a gateway; see `Gateway` for what each means.

    Raises:
        ConfigError: one is out of its range.
    """

    timeout: float
    max_timeout: float
    body_timeout: float
    heartbeat: float
    refresh: float
    max_body: int
    max_held: int
    max_requests: int
    max_streams: int
    request_headers: HeaderList
    response_headers: HeaderList
    origins: tuple[str, ...]
    hosts: frozenset[str]
    authorize: Authorize | None

    def __post_init__(self) -> None:
        for name in ("timeout", "max_timeout", "body_timeout", "heartbeat", "refresh"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < 1e9
            ):
                raise ConfigError(f"{name} is {value!r}: expected seconds")
            if value == 0 and name != "refresh":
                raise ConfigError(f"{name} is {value!r}: expected a positive number of seconds")
        for name in ("max_body", "max_held", "max_requests", "max_streams"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}: expected a whole number, 1 or more")
        if self.timeout > self.max_timeout:
            raise ConfigError(
                f"timeout is {self.timeout!r}: expected at most max_timeout, {self.max_timeout!r}"
            )
        for host in self.hosts:
            if not _host(host):
                raise ConfigError(
                    f"hosts: {host!r} is no host without a port, as in 'api.example' or '[::1]'"
                )

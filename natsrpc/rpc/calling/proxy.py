"""The typed proxy: an object with a Protocol's methods, each of which calls the subject it names.

The methods' signatures are read with the same rules as handlers' are, so what a class serves and
what its proxy sends cannot differ. Parameters that a service fills in for itself (`Context`, `Msg`,
`Depends`) are not the caller's to give.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any, Protocol, TypeAlias

from natsrpc.errors import ConfigError

from ..contract import EndpointContract, gives_stream
from ..signature import (
    MISSING,
    CallPlan,
    Mark,
    marked_methods,
    parameters,
    plan,
    public_methods,
)
from ..signature import names as naming
from .binding import Errors
from .bound import NOTHING


class Calls(Protocol):
    """The ways to call that a proxy uses: those of a client."""

    async def call(self, target: EndpointContract, request: Any, *, timeout: float | None) -> Any:
        """Call an endpoint that answers with one message."""

    async def upload(
        self, target: EndpointContract, items: AsyncIterable[Any], request: Any
    ) -> Any:
        """Call an endpoint that reads a stream, and answers with one message."""

    def stream(
        self, target: EndpointContract, request: Any, *, items: AsyncIterable[Any] | None
    ) -> AsyncGenerator[Any, None]:
        """Call an endpoint that answers with a stream."""
        ...


class Proxy:
    """An object whose methods are remote; it has nothing else."""

    def __init__(self, name: str, methods: dict[str, Callable[..., Any]]) -> None:
        self.__dict__.update(methods)
        self._name = name

    def __repr__(self) -> str:
        return f"<Proxy {self._name}>"


class Remote:
    """One method of an api as its caller sees it. `contract` names its subject and its types."""

    __slots__ = ("_plan", "_signature", "contract")

    def __init__(
        self, contract: EndpointContract, call_plan: CallPlan, signature: inspect.Signature
    ) -> None:
        self.contract: EndpointContract = contract
        self._plan = call_plan
        self._signature = signature

    def split(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The body and the request stream, out of a call's arguments."""
        call_plan = self._plan
        if len(args) == 1 and not kwargs and call_plan.whole and call_plan.stream is None:
            return args[0], None
        bound = self._signature.bind(*args, **kwargs)
        given = bound.arguments
        if call_plan.whole and call_plan.body[0].name not in given:
            given[call_plan.body[0].name] = call_plan.body[0].fresh()
        items = None if call_plan.stream is None else given.pop(call_plan.stream.name)
        if not call_plan.body:
            return NOTHING, items
        return (given[call_plan.body[0].name] if call_plan.whole else given), items


Read: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Gives the function that is read in a method's place."""


def make_proxy(
    calls: Calls, api: type, prefix: str, timeout: float | None, errors: Errors = ()
) -> Any:
    """A proxy over `api`.

    Raises:
        ConfigError: it has no public methods, or one of them cannot be called remotely.
    """
    methods = remote_methods(api, prefix, errors)
    return Proxy(
        api.__qualname__,
        {name: _caller(calls, remote, timeout) for name, remote in methods.items()},
    )


def remote_methods(
    api: type, prefix: str, errors: Errors, read: Read | None = None
) -> dict[str, Remote]:
    """The methods of `api`, by their names.

    Args:
        api: the Protocol or class.
        prefix: stands before the methods' names.
        errors: the classes that its calls raise.
        read: gives the function that is read in a method's place.

    Raises:
        ConfigError: it has no public methods, or one of them cannot be called remotely.
    """
    marks = marked_methods(api) or {name: Mark(None, {}) for name in public_methods(api)}
    if not marks:
        raise ConfigError(f"{api.__name__!r} has no public methods to call")
    naming.check_prefix(prefix)
    return {name: _remote(api, name, mark, prefix, errors, read) for name, mark in marks.items()}


def _remote(
    api: type, name: str, mark: Mark, prefix: str, errors: Errors, read: Read | None
) -> Remote:
    function = inspect.getattr_static(api, name)
    if isinstance(function, (staticmethod, classmethod)):
        raise ConfigError(f"{api.__name__}.{name}: only plain methods can be called remotely")
    method = types.MethodType(function if read is None else read(function), api)
    template = naming.join(prefix, name if mark.subject is None else mark.subject)
    subject, tokens = naming.parse_template(template)
    call_plan = plan(method, tokens)
    contract = EndpointContract(
        name=name,
        subject=subject,
        queue_group="",
        request_type=call_plan.request_type,
        response_type=call_plan.response_type,
        kind=call_plan.kind,
        stream_type=call_plan.stream_type,
        errors=(*errors, *mark.options.get("errors", ())),
        template=template,
        idempotent=mark.options.get("idempotent", False),
    )
    return Remote(contract, call_plan, _signature(method, call_plan))


def _signature(method: Callable[..., Any], call_plan: CallPlan) -> inspect.Signature:
    """The parameters that are the caller's to give."""
    given = {p.name: p for p in (*call_plan.body, call_plan.stream) if p is not None}
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=empty if given[name].default is MISSING else given[name].default,
            )
            for name, *_ in parameters(method)[0]
            if name in given
        ]
    )


def _caller(calls: Calls, remote: Remote, timeout: float | None) -> Callable[..., Any]:
    contract, split = remote.contract, remote.split

    async def unary(*args: Any, **kwargs: Any) -> Any:
        request, _ = split(args, kwargs)
        return await calls.call(contract, request, timeout=timeout)

    async def upload(*args: Any, **kwargs: Any) -> Any:
        request, items = split(args, kwargs)
        return await calls.upload(contract, items, request)

    def stream(*args: Any, **kwargs: Any) -> Any:
        request, items = split(args, kwargs)
        return calls.stream(contract, request, items=items)

    if gives_stream(contract.kind):
        return stream
    return upload if contract.kind == "request_stream" else unary

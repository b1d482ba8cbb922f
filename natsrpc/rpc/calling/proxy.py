"""The typed proxy: an object with a Protocol's methods, each of which calls the subject it names.

The methods' signatures are read with the same rules as handlers' are, so what a class serves and
what its proxy sends cannot differ. Parameters that a service fills in for itself (`Context`, `Msg`,
`Depends`, `Header`) are not the caller's to give. Those that are tokens of the subject are.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

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
    token_of,
    token_text,
)
from ..signature import names as naming
from .binding import Errors
from .bound import NOTHING

Tokens: TypeAlias = dict[str, str] | None
"""Values for the tokens of a subject; None where a method takes none."""


class Calls(Protocol):
    """The ways to call that a proxy uses: those of a client."""

    async def call(
        self, target: EndpointContract, request: Any, *, timeout: float | None, tokens: Tokens
    ) -> Any:
        """Call an endpoint that answers with one message."""

    async def upload(
        self, target: EndpointContract, items: AsyncIterable[Any], request: Any, *, tokens: Tokens
    ) -> Any:
        """Call an endpoint that reads a stream, and answers with one message."""

    def stream(
        self,
        target: EndpointContract,
        request: Any,
        *,
        items: AsyncIterable[Any] | None,
        tokens: Tokens,
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


class TokenParameter(NamedTuple):
    """A parameter of a method that is a token of the subject."""

    name: str
    token: str
    default: Any
    text: Callable[[Any], str]

    def pop(self, given: dict[str, Any]) -> str:
        """The token's text, taken out of the arguments that were given."""
        return self.text(given.pop(self.name, self.default))


class Remote:
    """One method of an api as its caller sees it. `contract` names its subject and its types."""

    __slots__ = ("_is_lone", "_plan", "_signature", "_tokens", "contract")

    def __init__(
        self,
        contract: EndpointContract,
        call_plan: CallPlan,
        signature: inspect.Signature,
        tokens: list[TokenParameter],
    ) -> None:
        self.contract: EndpointContract = contract
        self._plan = call_plan
        self._signature = signature
        self._tokens = tokens
        self._is_lone = call_plan.whole and call_plan.stream is None and not tokens

    def split(self, args: Any, kwargs: Any) -> tuple[Any, Any, Tokens]:
        """The body, the request stream and the tokens, out of a call's arguments."""
        if len(args) == 1 and not kwargs and self._is_lone:
            return args[0], None, None
        call_plan = self._plan
        given = self._signature.bind(*args, **kwargs).arguments
        tokens = {each.token: each.pop(given) for each in self._tokens} or None
        if call_plan.whole and call_plan.body[0].name not in given:
            given[call_plan.body[0].name] = call_plan.body[0].fresh()
        items = None if call_plan.stream is None else given.pop(call_plan.stream.name)
        if not call_plan.body:
            return NOTHING, items, tokens
        return (given[call_plan.body[0].name] if call_plan.whole else given), items, tokens


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
    found = [
        TokenParameter(each.name, token, each.default, token_text(each.type))
        for each in parameters(method)[0]
        if (token := token_of(each, tokens)) is not None
    ]
    signature = _signature(method, call_plan, {each.name for each in found})
    return Remote(contract, call_plan, signature, found)


def _signature(
    method: Callable[..., Any], call_plan: CallPlan, tokens: set[str]
) -> inspect.Signature:
    """The parameters that are the caller's to give."""
    given = {p.name: p for p in (*call_plan.body, call_plan.stream) if p is not None}
    found = [given.get(p.name, p) for p in parameters(method)[0] if p.name in {*given, *tokens}]
    return inspect.Signature(
        [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY
                if each.keyword_only
                else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if each.default is MISSING else each.default,
            )
            for each in found
        ]
    )


def _caller(calls: Calls, remote: Remote, timeout: float | None) -> Callable[..., Any]:
    contract, split = remote.contract, remote.split

    async def unary(*args: Any, **kwargs: Any) -> Any:
        request, _, tokens = split(args, kwargs)
        return await calls.call(contract, request, timeout=timeout, tokens=tokens)

    async def upload(*args: Any, **kwargs: Any) -> Any:
        request, items, tokens = split(args, kwargs)
        return await calls.upload(contract, items, request, tokens=tokens)

    def stream(*args: Any, **kwargs: Any) -> Any:
        request, items, tokens = split(args, kwargs)
        return calls.stream(contract, request, items=items, tokens=tokens)

    if gives_stream(contract.kind):
        return stream
    return upload if contract.kind == "request_stream" else unary

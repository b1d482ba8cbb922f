"""The typed proxy: an object with a Protocol's methods, each of which calls the subject it names.

The methods' signatures are read with the same rules as handlers' are, so what a class serves and
what its proxy sends cannot differ. Parameters that a service fills in for itself (`Context`, `Msg`,
`Depends`) are not the caller's to give.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, Protocol

from natsrpc import codecs
from natsrpc.errors import ConfigError

from . import naming
from .annotations import describe
from .contract import EndpointContract
from .markers import MISSING
from .params import CallPlan, plan
from .service import public_methods


class Caller(Protocol):
    """What a proxy needs of its client."""

    codec: codecs.Codec

    async def call(
        self, target: Any, request: Any = ..., returns: Any = ..., *, timeout: float | None = ...
    ) -> Any:
        """Call an endpoint."""


class Proxy:
    """An object whose methods are remote; it has nothing else."""

    def __init__(self, name: str, methods: dict[str, Callable[..., Any]]) -> None:
        self.__dict__.update(methods)
        self._name = name

    def __repr__(self) -> str:
        return f"<Proxy {self._name}>"


def make_proxy(client: Caller, api: type, prefix: str, timeout: float | None) -> Any:
    """A proxy over `api`.

    Raises:
        ConfigError: it has no public methods, or one of them cannot be called remotely.
    """
    names = public_methods(api)
    if not names:
        raise ConfigError(f"{api.__name__!r} has no public methods to call")
    naming.check_prefix(prefix)
    methods = {name: _method(client, api, name, prefix, timeout) for name in names}
    return Proxy(api.__qualname__, methods)


def _method(
    client: Caller, api: type, name: str, prefix: str, timeout: float | None
) -> Callable[..., Any]:
    function = inspect.getattr_static(api, name)
    if isinstance(function, (staticmethod, classmethod)):
        raise ConfigError(f"{api.__name__}.{name}: only plain methods can be called remotely")
    call_plan = plan(types.MethodType(function, api))
    if call_plan.kind != "unary":
        raise ConfigError(f"{describe(function)!r} streams, which is not supported yet")
    contract = EndpointContract(
        name=name,
        subject=naming.join(prefix, name),
        queue_group="",
        request_type=call_plan.request_type,
        response_type=call_plan.response_type,
        template=naming.join(prefix, name),
    )
    return _caller(client, contract, call_plan, timeout)


def _caller(
    client: Caller, contract: EndpointContract, call_plan: CallPlan, timeout: float | None
) -> Callable[..., Any]:
    body = [p.name for p in call_plan.body]
    signature = inspect.Signature(
        [
            inspect.Parameter(
                p.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if p.default is MISSING else p.default,
            )
            for p in call_plan.body
        ]
    )
    call = client.call

    if not body:

        async def nothing() -> Any:
            return await call(contract, timeout=timeout)

        return nothing

    if call_plan.whole:

        async def whole(*args: Any, **kwargs: Any) -> Any:
            if len(args) == 1 and not kwargs:
                return await call(contract, args[0], timeout=timeout)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return await call(contract, bound.arguments[body[0]], timeout=timeout)

        return whole

    async def fields(*args: Any, **kwargs: Any) -> Any:
        return await call(contract, signature.bind(*args, **kwargs).arguments, timeout=timeout)

    return fields

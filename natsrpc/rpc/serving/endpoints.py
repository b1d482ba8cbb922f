"""`Group`, and what it shares with `Service`: functions and objects become endpoints of a contract.

Everything that can be wrong about an endpoint is found here, at registration; a running service
only reads what was decided.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from natsrpc.core import check_queue_group
from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from ..contract import EndpointContract, Limits, check_errors
from ..headers import is_reserved
from ..signature import describe, located, plan, public_methods
from ..signature import names as naming
from .definition import Definition, Handler

F = TypeVar("F", bound=Callable[..., Any])

INHERIT: Any = object()
"""The queue group of the level above."""


class Endpoints:
    """The ways to add endpoints under a prefix, which `Service` and `Group` share."""

    def __init__(self, definition: Definition, prefix: str, queue_group: str | None) -> None:
        self._definition = definition
        self._prefix = prefix
        self._queue_group = queue_group

    def handler(
        self,
        subject: str | None = None,
        *,
        name: str | None = None,
        queue_group: str | None = INHERIT,
        metadata: Mapping[str, str] | None = None,
        errors: tuple[type[RpcError], ...] = (),
        max_concurrency: int | None = None,
        max_waiting: int | None = None,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> Callable[[F], F]:
        """Serve the decorated function, which stays what it was.

        Args:
            subject: where it is called; the function's name if not given. A part in braces, as
                in `orders.{user}.get`, takes any token, which `Token("user")` reads.
            name: the endpoint's name in listings; made from the subject if not given. Endpoints may
                share one, as ADR-32 has it: their subjects tell them apart.
            queue_group: None makes every instance answer; not given, the group's or service's.
            metadata: what INFO shows of this endpoint.
            errors: the error classes it raises, for the contract and for callers.
            max_concurrency: how many may run at once, within the service's own limit.
            max_waiting: how many may wait for a slot; more are refused with 429 at once.
            timeout: seconds after which a request is stopped, however long its caller waits.
            idempotent: it may run twice for one call, so callers may send again what they lost.

        Raises:
            ConfigError: anything above, or the function's signature, is refused.
        """
        if callable(subject):
            with located(subject):
                raise ConfigTypeError(
                    f"handler takes a subject, not the function {describe(subject)!r}: write "
                    "@service.handler() with brackets"
                )

        def decorate(function: F) -> F:
            with located(function):
                self._add(
                    function,
                    subject,
                    name=name,
                    queue_group=queue_group,
                    metadata=metadata,
                    errors=errors,
                    limits=self._definition.limits(max_concurrency, max_waiting, timeout),
                    idempotent=idempotent,
                )
            return function

        return decorate

    def group(self, prefix: str, *, queue_group: str | None = INHERIT) -> Group:
        """Endpoints under a common prefix; an empty prefix adds nothing."""
        inner = naming.join(self._prefix, naming.check_prefix(prefix)) if prefix else self._prefix
        chosen = self._queue_group if queue_group is INHERIT else queue_group
        if chosen is not None:
            check_queue_group(chosen)
        return Group(self._definition, inner, chosen)

    def register(self, instance: object, *, prefix: str = "", api: type | None = None) -> None:
        """Serve an object's public methods, each under its own name.

        Args:
            instance: the object; its methods are called on it.
            prefix: stands before the methods' names.
            api: a Protocol or class; only the methods it names are served.

        Raises:
            ConfigError: `instance` is a class, lacks a method of `api`, or has nothing to serve.
        """
        if inspect.isclass(instance):
            raise ConfigError(f"register an instance of {instance.__name__!r}, not the class")
        names = public_methods(api if api is not None else type(instance))
        if not names:
            raise ConfigError(f"{type(instance).__name__!r} has no public methods to serve")
        group = self.group(prefix)
        for name in names:
            method = getattr(instance, name, None)
            if not callable(method):
                raise ConfigError(f"{type(instance).__name__!r} has no method {name!r}")
            group.handler(name)(method)

    def _add(
        self,
        function: Callable[..., Any],
        subject: str | None,
        *,
        name: str | None,
        queue_group: str | None,
        metadata: Mapping[str, str] | None,
        errors: tuple[type[RpcError], ...],
        limits: Limits,
        idempotent: bool,
    ) -> None:
        own_name = describe(function).rpartition(".")[2]
        template = naming.join(self._prefix, own_name if subject is None else subject)
        full, tokens = naming.parse_template(template)
        if is_reserved(full.encode()):
            raise ConfigError(
                f"bad subject {template!r}: `_NATSRPC` is the token of what natsrpc itself sends, "
                "and reaches no handler; choose another"
            )
        call_plan = plan(function, tokens)
        chosen = self._queue_group if queue_group is INHERIT else queue_group
        check_queue_group(chosen or "")
        contract = EndpointContract(
            name=naming.check_name("endpoint", name or naming.name_from(subject or "", own_name)),
            subject=full,
            queue_group=chosen or "",
            metadata=naming.check_metadata(metadata),
            doc=inspect.getdoc(function) or "",
            request_type=call_plan.request_type,
            response_type=call_plan.response_type,
            kind=call_plan.kind,
            stream_type=call_plan.stream_type,
            errors=check_errors(f"errors of handler {call_plan.name!r}", errors),
            template=template,
            codec=self._definition.codec.name,
            idempotent=idempotent,
        )
        self._definition.add(function, Handler(contract, call_plan, limits))


class Group(Endpoints):
    """Endpoints under a common prefix, as made by `Service.group`."""

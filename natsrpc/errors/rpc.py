"""What a handler raises and its caller catches: `RpcError`, and its class for each code."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import typing
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, ClassVar, Protocol, TypeVar, overload

from .nats import NatsTimeoutError
from .root import ConfigError, NatsRpcError

Default = TypeVar("Default")


class ReplyHeaders(Protocol):
    """The headers of a reply as errors carry them: a `natsrpc.Headers`, as far as it is read."""

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: Default) -> str | Default: ...
    def get(self, name: str, default: object = None) -> object:
        """The first value under a name, or `default`."""

    def get_all(self, name: str) -> list[str]:
        """All values under a name, in the order received."""
        ...

    def keys(self) -> KeysView[str]:
        """The names, each once."""
        ...

    def values(self) -> ValuesView[str]:
        """The first value of each name."""
        ...

    def items(self) -> ItemsView[str, str]:
        """Every (name, value) pair."""
        ...

    def __getitem__(self, name: str) -> str: ...

    def __contains__(self, name: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...

    def __eq__(self, other: object) -> bool: ...


_RESERVED = frozenset({"args", "came_from", "code", "details", "headers", "message", "relayed"})
"""Names that no field of an error class has: the class has them."""


class RpcError(NatsRpcError):
    """What a handler raises and its caller catches, same class.

    A subclass states its code as a class keyword and its fields as annotations; the fields become
    keyword arguments and attributes, and travel as the JSON body of the reply:

        class OutOfStock(RpcError, code=409):
            sku: str

        raise OutOfStock("none left", sku="A-7")

    Where no class of that name is known, a plain `RpcError` with `code`, `name` and `details`
    arrives. Class keyword `name` replaces the class's own name on the wire, `retryable` lets a
    caller's policy send again. Without fields, `details` (anything JSON can express) is the body.

    At its caller an error also has the `headers` that the handler had set for its reply (a
    `natsrpc.Headers`, empty if there were none), and `came_from`, the subject that was called.
    `relayed` tells that it is not the called handler's own, but that of a call which the handler
    made and whose error it did not catch: the handler may have done part of its work.

    Raises:
        ConfigError: the code is no number from 100 to 9999, or a field has the name of an argument.
        TypeError: a field is missing, or there is no such field.
    """

    default_code: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    wire_name: ClassVar[str] = "RpcError"
    registered: ClassVar[dict[str, list[type[RpcError]]]] = {}
    _fields: ClassVar[dict[str, Any]]
    name: str = "RpcError"
    came_from: str = ""
    relayed: bool = False

    def __init_subclass__(
        cls, *, code: int | None = None, name: str = "", retryable: bool | None = None, **kw: Any
    ) -> None:
        super().__init_subclass__(**kw)
        cls.retryable = cls.retryable if retryable is None else retryable
        if code is not None:
            cls.default_code = _check_code(cls, code)
        taken = _RESERVED & inspect.get_annotations(cls).keys()
        if taken:
            raise ConfigError(f"{cls.__name__!r} cannot have a field named {min(taken)!r}")
        cls.wire_name = name or cls.__name__
        if "name" not in cls.fields():
            cls.name = cls.wire_name
        others = RpcError.registered.get(cls.wire_name, [])
        place = (cls.__module__, cls.__qualname__)  # a class defined again replaces itself
        kept = [each for each in others if (each.__module__, each.__qualname__) != place]
        RpcError.registered[cls.wire_name] = [cls, *kept]

    def __init__(
        self, message: str = "", *, code: int | None = None, details: Any = None, **fields: Any
    ) -> None:
        cls = type(self)
        self.message: str = message or cls.__name__
        super().__init__(self.message)
        self.code: int = self.default_code if code is None else _check_code(cls, code)
        for key in cls.fields():
            if key not in fields:
                owner = next((base for base in cls.__mro__ if key in vars(base)), RpcError)
                if owner is RpcError:
                    raise TypeError(f"{cls.__name__}() needs the keyword argument {key!r}")
                fields[key] = copy.copy(vars(owner)[key])
            setattr(self, key, fields[key])
        for key in fields.keys() - cls.fields().keys():
            raise TypeError(f"{cls.__name__}() has no field {key!r}")
        self.details: Any = fields if details is None and fields else details

    @functools.cached_property
    def headers(self) -> ReplyHeaders:
        """The headers that the handler had set for its reply; empty where no reply came."""
        none: ReplyHeaders = importlib.import_module("natsrpc.core").Headers()
        return none

    @classmethod
    def fields(cls) -> dict[str, Any]:
        """The names and types of the fields this class declares, base classes first."""
        if "_fields" not in vars(cls):
            cls._fields = {}
            for base in reversed(cls.__mro__):
                if issubclass(base, RpcError) and base is not RpcError:
                    cls._fields.update(_annotated(base))
        return cls._fields

    @classmethod
    def rebuild(cls, message: str, code: int, details: Any, fields: Mapping[str, Any]) -> RpcError:
        """Make an instance from what came over the wire, whatever `__init__` a subclass has.

        Other programs choose their codes as they like, so `code` may be any number.
        """
        error = cls.__new__(cls)
        RpcError.__init__(error, message, details=details, **fields)
        error.code = code
        return error


def _check_code(cls: type[RpcError], code: int) -> int:
    if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 9999:
        raise ConfigError(f"code of {cls.__name__!r} is {code!r}: expected a number, 100 to 9999")
    return code


def _annotated(cls: type) -> dict[str, Any]:
    """The fields annotated in one class body, resolved where that can be done."""
    keys = [
        key
        for key, hint in inspect.get_annotations(cls).items()
        if not str(hint).removeprefix("typing.").startswith("ClassVar")
    ]
    if not keys:  # as of most classes: resolving would read the annotations of all bases, too
        return {}
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a name that only exists inside a function: the field is then untyped
        hints = {}
    return {key: hints.get(key, Any) for key in keys}


class BadRequestError(RpcError, code=400):
    """The service could not decode the request's body."""


class UnauthorizedError(RpcError, code=401):
    """The request does not show who sends it: credentials are missing, wrong or expired."""


class ForbiddenError(RpcError, code=403):
    """Who sends the request is known, and may not do this."""


class NotFoundError(RpcError, code=404):
    """What was asked for does not exist."""


class ConflictError(RpcError, code=409):
    """The request does not fit the present state."""


class ReplyTooLargeError(RpcError, code=413):
    """The reply is larger than its caller takes, or than a message may be."""


class RequestTooLargeError(RpcError, code=413):
    """The request is larger than the service takes."""


class UnsupportedCodecError(RpcError, code=415):
    """The service does not know the codec the request's `Content-Type` names."""


class InvalidRequestError(RpcError, code=422):
    """The request's body was decoded, and does not fit the handler's types.

    `details` lists `{"path": "a.0.b", "reason": "…"}`.
    """


class OverloadedError(RpcError, code=429):
    """The service is at its limits and refused the request at once, unrun."""


class HeadersTooLargeError(RpcError, code=431):
    """The request's headers are larger than a service reads."""


class CallCancelledError(RpcError, code=499):
    """The caller cancelled the call, and the handler was stopped."""


class InternalError(RpcError, code=500):
    """The handler failed. `details["error_id"]` finds the traceback in the service's log."""


class UpstreamError(RpcError, code=502):
    """A call that the handler made failed, and the handler did not catch its error.

    It stands for an error of natsrpc itself, such as a refusal: what that says is meant for the
    handler, and not for its caller. `details` names the `subject` that the handler called, the
    `code` and the class (`error`) of what it got, and nothing else of it.
    """


class UnavailableError(RpcError, code=503):
    """The service is stopping, and did not run or did not finish the request."""


class MessagesLostError(NatsRpcError):
    """Messages without a reply subject came to an endpoint, and were lost there.

    Nobody waits for an answer that would say so. A service's connection tells it to `on_error`, at
    most once a second for each endpoint. Since it was told last `dropped` messages were refused
    unrun, and `failed` ended with an error. `last` is what the last of them would have been
    answered with; `endpoint` and `subject` name where they came.
    """

    def __init__(
        self, subject: str, *, endpoint: str, dropped: int, failed: int, last: RpcError
    ) -> None:
        super().__init__(
            f"endpoint {endpoint!r} lost messages on {subject!r} that nobody waits for: {dropped} "
            f"did not run, {failed} failed; the last one: {last.code} {last.name}: {last}"
        )
        self.subject: str = subject
        self.endpoint: str = endpoint
        self.dropped: int = dropped
        self.failed: int = failed
        self.last: RpcError = last


class DeadlineExceededError(RpcError, NatsTimeoutError, code=504):
    """The deadline passed before the handler ended; it was not run, or was cancelled."""

"""Every error survives `copy` and `pickle`: same class, same text, same attributes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import natsrpc.errors
from natsrpc.core import Headers
from natsrpc.errors import (
    ContractError,
    DecodeError,
    MaxPayloadError,
    MessagesLostError,
    NatsRpcError,
    NoRespondersError,
    NoServersError,
    PermissionsError,
    Reject,
    RetryLater,
    RpcError,
    SlowConsumerError,
    SubjectStoredError,
    UnsentMessagesError,
)
from natsrpc.errors.nats import ConnectError

CLASSES = [
    each
    for name in natsrpc.errors.__all__
    if isinstance(each := getattr(natsrpc.errors, name), type) and issubclass(each, NatsRpcError)
]


def pickled(error: Any, *, protocol: int) -> Any:
    """The error as another process reads it."""
    return pickle.loads(pickle.dumps(error, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "deepcopy": copy.deepcopy}
WAYS |= {f"pickle {number}": partial(pickled, protocol=number) for number in range(2, 6)}


def example(cls: type[NatsRpcError]) -> NatsRpcError:
    """An error of the class, with what it takes."""
    made: dict[type[Any], Callable[[], NatsRpcError]] = {
        MaxPayloadError: lambda: MaxPayloadError(2_000_000, 1_048_576),
        NoRespondersError: lambda: NoRespondersError("calc.add", "a hint"),
        SlowConsumerError: lambda: SlowConsumerError("calc.>", sid=3, dropped=7),
        UnsentMessagesError: lambda: UnsentMessagesError(3, 200),
        DecodeError: lambda: DecodeError("bad", errors=[{"path": "a.0", "reason": "no"}]),
        ContractError: lambda: ContractError("bad", subject="calc.add", malformed=True),
        SubjectStoredError: lambda: SubjectStoredError("a.b", stream="S", reason="full"),
        RetryLater: lambda: RetryLater(1.5, "busy"),
        Reject: lambda: Reject("cannot be"),
        NoServersError: lambda: NoServersError(
            "none", attempts=[("a:4222", ConnectError("no", server="a:4222"))]
        ),
        PermissionsError: lambda: PermissionsError(
            "denied", operation="publish", subject="A.b", sid=4, text="Permissions Violation"
        ),
        MessagesLostError: lambda: MessagesLostError(
            "a.b", endpoint="b", dropped=1, failed=2, last=RpcError("x", code=422)
        ),
    }
    if cls in made:
        return made[cls]()
    if issubclass(cls, RpcError):
        error = cls("what happened", details={"a": [1, 2]})
        error.came_from, error.relayed = "calc.add", True
        error.headers = Headers({"X-Trace": "t"})
        return error
    return cls("what happened")


def facts(error: Any) -> Any:
    """What two equal errors have alike."""
    found = {key: value for key, value in vars(error).items() if key not in ("attempts", "last")}
    others = [repr(getattr(error, key, None)) for key in ("attempts", "last")]
    return type(error), str(error), repr(error), error.args, found, others


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_copy_tells_the_same(cls: type[NatsRpcError], way: Callable[[Any], Any]) -> None:
    error = example(cls)
    error.add_note("seen by a test")
    again = way(error)
    assert again is not error
    assert facts(again) == facts(error)
    if isinstance(error, OSError):
        assert (again.errno, again.strerror) == (error.errno, error.strerror)


class StockError(RpcError, code=409):
    """A user's error with a field."""

    sku: str


class QuotaError(RpcError, code=429):
    """A user's error that takes what it likes."""

    def __init__(self, used: int, most: int) -> None:
        super().__init__(f"{used} of {most} are used")
        self.used = used
        self.most = most
        self.is_hard = used > most


class OddError(NatsRpcError):
    """A user's error with parameters that cannot be guessed."""

    def __init__(self, *, one: int, two: str) -> None:
        super().__init__(f"{one} {two}")
        self.one, self.two = one, two


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(
    "error",
    [StockError("none", sku="A-7", code=410), QuotaError(5, 3), OddError(one=1, two="b")],
    ids=repr,
)
def test_a_user_s_own_error_is_copied_whatever_it_takes(error: Any, way: Any) -> None:
    assert facts(way(error)) == facts(error)


def test_a_changed_copy_leaves_the_error_alone() -> None:
    error = RpcError("x", details={"a": 1})
    again = copy.deepcopy(error)
    again.details["a"] = 2
    again.code = 404
    assert (error.details, error.code) == ({"a": 1}, 500)

"""Error classes of users: fields, codes and names, and the way they are rebuilt."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any, ClassVar

import pytest

from natsrpc.core import Headers, Msg
from natsrpc.errors import ConfigError, DeadlineExceededError, NotFoundError, RpcError
from natsrpc.rpc.contract.error_headers import MAX_TEXT, from_wire, to_wire

# ruff: noqa: N818 — error classes are named here as users name theirs


class OutOfStock(RpcError, code=409):
    sku: str
    left: int = 0


class OutOfStockHere(OutOfStock, code=410):
    place: uuid.UUID
    codes: ClassVar[list[int]] = []


class UnknownUser(RpcError, code=404, name="users.Unknown"):
    name: str


class Handmade(RpcError, code=400):
    def __init__(self, sku: str) -> None:
        super().__init__(f"no {sku}", details={"sku": sku})


PLACE = uuid.UUID(int=3)


def over_the_wire(error: RpcError) -> RpcError:
    headers, data = to_wire(error)
    msg = Msg("x", data, headers=dict(Headers.decode(headers).items()))
    return from_wire(msg)


def test_fields_are_keywords_and_attributes() -> None:
    error = OutOfStock("none left", sku="a")
    assert (error.sku, error.left, error.code, error.name) == ("a", 0, 409, "OutOfStock")
    assert str(error) == error.message == "none left"
    assert error.details == {"sku": "a", "left": 0}


def test_fields_are_inherited_and_class_variables_are_none() -> None:
    error = OutOfStockHere(sku="a", place=PLACE)
    assert list(error.fields()) == ["sku", "left", "place"]
    assert (error.code, error.message) == (410, "OutOfStockHere")


def test_a_default_is_not_shared_between_errors() -> None:
    class Several(RpcError):
        skus: list[str] = []  # noqa: RUF012 — a field, as of a model

    first = Several("first")
    first.skus.append("a")
    assert Several("second").skus == []


def test_fields_are_checked() -> None:
    with pytest.raises(TypeError, match="needs the keyword argument 'sku'"):
        OutOfStock("none")
    with pytest.raises(TypeError, match="has no field 'size'"):
        OutOfStock("none", sku="a", size=3)
    with pytest.raises(TypeError, match="needs the keyword argument 'name'"):
        UnknownUser("who?")
    with pytest.raises(TypeError, match="has no field 'sku'"):
        RpcError("none", sku="a")


@pytest.mark.parametrize("code", [0, 99, 10_000, True, "409", 4.0])
def test_a_code_is_a_number(code: Any) -> None:
    with pytest.raises(ConfigError, match="expected a number, 100 to 9999"):

        class Bad(RpcError, code=code): ...

    with pytest.raises(ConfigError, match=r"code of 'RpcError' is .*: expected a number"):
        RpcError("none left", code=code)
    with pytest.raises(ConfigError, match="code of 'OutOfStock'"):
        OutOfStock("none left", sku="a", code=code)


@pytest.mark.parametrize("code", [0, 7, 123_456_789])
def test_codes_of_other_programs_are_kept_and_passed_on(code: int) -> None:
    error = RpcError.rebuild("elsewhere", code, None, {})
    assert over_the_wire(error).code == code
    assert copy.copy(error).code == code


def test_fields_may_not_hide_what_every_error_has() -> None:
    with pytest.raises(ConfigError, match="'details'"):

        class Bad(RpcError):
            details: str


@pytest.mark.parametrize(
    "error",
    [
        OutOfStock("none left", sku="a", left=2),
        OutOfStockHere("none", sku="a", place=PLACE),
        UnknownUser("who?", name="ann"),
        Handmade("a"),
        RpcError("plain", code=418, details=[1, None, {"a": 2.5}]),
        RpcError("nothing more"),
        NotFoundError("gone", details="text"),
        DeadlineExceededError("late"),
    ],
)
@pytest.mark.parametrize(
    "way", [over_the_wire, copy.copy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_an_error_survives(error: RpcError, way: Any) -> None:
    again = way(error)
    assert type(again) is type(error)
    assert (again.message, again.code, again.name) == (error.message, error.code, error.name)
    assert {key: getattr(again, key) for key in error.fields()} == {
        key: getattr(error, key) for key in error.fields()
    }
    if not error.fields():
        assert again.details == error.details


def test_the_wire_name_may_differ_from_the_class_name() -> None:
    headers, _ = to_wire(UnknownUser("who?", name="ann"))
    assert Headers.decode(headers)["Natsrpc-Error"] == "users.Unknown"


def test_an_unknown_name_is_passed_on() -> None:
    """As when a service calls another whose error class it does not know."""
    error = RpcError("elsewhere", code=420)
    error.name = "NeverHeardOf"
    again = over_the_wire(error)
    assert (type(again), again.name, again.code) == (RpcError, "NeverHeardOf", 420)


def test_a_body_that_does_not_fit_the_class_here_gives_a_plain_error() -> None:
    headers, _ = to_wire(OutOfStock("none", sku="a"))
    for data in (b'{"other":1}', b"", b"\xff\x00"):
        msg = Msg("x", data, headers=dict(Headers.decode(headers).items()))
        error = from_wire(msg)
        assert type(error) is RpcError
        assert (error.name, error.code) == ("OutOfStock", 409)
    assert error.details == b"\xff\x00"


def test_declared_classes_go_before_registered_ones() -> None:
    class Special(RpcError, name="OutOfStock"): ...

    headers, data = to_wire(OutOfStock("none", sku="a"))
    msg = Msg("x", data, headers=dict(Headers.decode(headers).items()))
    assert type(from_wire(msg, {"OutOfStock": Special})) is Special
    assert type(from_wire(msg)) is OutOfStock


def test_of_two_classes_of_one_name_the_one_that_fits_is_taken() -> None:
    class First(RpcError, code=409, name="Shared"):
        sku: str

    class Second(RpcError, code=404, name="Shared"):
        sku: str
        place: str

    class Third(RpcError, code=404, name="Shared"):
        sku: str

    for error in (First(sku="a"), Second(sku="a", place="b"), Third(sku="a")):
        assert type(over_the_wire(error)) is type(error)
    assert len(RpcError.registered["Shared"]) == 3


def test_a_class_defined_again_replaces_itself() -> None:
    def define() -> type[RpcError]:
        class Again(RpcError): ...

        return Again

    define()
    latest = define()
    assert RpcError.registered["Again"] == [latest]


def test_a_description_is_one_bounded_line() -> None:
    headers, _ = to_wire(RpcError("a\r\nb\tc" + "x" * 5000))
    text = Headers.decode(headers)["Nats-Service-Error"]
    assert text.startswith("a b cx")
    assert len(text) <= MAX_TEXT


def test_of_two_classes_that_fit_alike_the_import_order_does_not_matter() -> None:
    def define(place: str) -> type[RpcError]:
        class Alike(RpcError, code=409):
            __qualname__ = place
            sku: str

        return Alike

    first = define("a.Alike")
    define("b.Alike")
    assert type(over_the_wire(first(sku="x"))) is first
    RpcError.registered["Alike"].clear()
    define("b.Alike")
    first = define("a.Alike")
    define("c.Alike")
    assert type(over_the_wire(first(sku="x"))) is first


def test_the_headers_of_the_handler_come_with_the_error() -> None:
    headers, data = to_wire(OutOfStock("none", sku="a"), {"Retry-After": "30"})
    error = from_wire(Msg("x", data, headers=Headers.decode(headers)))
    assert error.headers == {"Retry-After": "30"}
    assert isinstance(error.headers, Headers)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert again.headers == {"Retry-After": "30"}


@pytest.mark.parametrize(
    "error", [RpcError("local"), over_the_wire(OutOfStock("none", sku="a")), NotFoundError("x")]
)
def test_an_error_without_headers_has_empty_ones(error: RpcError) -> None:
    assert isinstance(error.headers, Headers)
    assert len(error.headers) == 0
    assert error.headers is error.headers


def test_no_two_errors_share_their_headers() -> None:
    first, second = RpcError("a"), RpcError("b")
    assert isinstance(first.headers, Headers)
    first.headers["X"] = "1"
    assert "X" not in second.headers


def test_the_headers_of_the_handler_replace_none_of_the_error() -> None:
    added = {
        "nats-service-error": "all is well",
        "Nats-Service-Error-Code": "200",
        "natsrpc-error": "Other",
        "Natsrpc-Relayed": "1",
        "Natsrpc-Frame": "end 0",
        "content-type": "text/plain",
        "X-Own": "1",
    }
    headers, data = to_wire(OutOfStock("none", sku="a"), added)
    sent = Headers.decode(headers)
    assert sorted(sent) == [
        "Content-Type",
        "Nats-Service-Error",
        "Nats-Service-Error-Code",
        "Natsrpc-Error",
        "X-Own",
    ]
    error = from_wire(Msg("x", data, headers=sent))
    assert type(error) is OutOfStock
    assert error.headers == {"X-Own": "1"}


def test_headers_of_a_stranger_are_read_in_any_spelling() -> None:
    headers = {
        "nats-service-error": "slow down",
        "nats-service-error-code": "429",
        "retry-after": "30",
        "Content-Type": "text/plain",
        "natsrpc-relayed": " 1 ",
    }
    error = from_wire(Msg("x", b"words", headers=headers))
    assert error.headers == {"retry-after": "30", "Content-Type": "text/plain"}
    assert (error.code, error.details, error.relayed) == (429, b"words", True)


def test_notes_and_a_name_of_its_own_survive_a_copy() -> None:
    error = RpcError("elsewhere", code=420)
    error.name = "NeverHeardOf"
    error.add_note("seen at noon")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (again.name, again.__notes__) == ("NeverHeardOf", ["seen at noon"])


@pytest.mark.parametrize("field", ["headers", "relayed", "came_from", "code"])
def test_a_field_cannot_have_the_name_of_what_every_error_has(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        type("Wrong", (RpcError,), {"__annotations__": {field: str}})

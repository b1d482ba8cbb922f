"""What a change of a contract breaks, and which version it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from natsrpc.describe import ContractDiff, diff, document, next_version
from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import EndpointContract, ServiceContract


def endpoint(**fields: Any) -> EndpointContract:
    given = {"name": "help", "subject": "help", "queue_group": "q", **fields}
    return EndpointContract(**given)


def served(*endpoints: EndpointContract, version: str = "1.2.3", **fields: Any) -> dict[str, Any]:
    contract = ServiceContract("helpdesk", version, endpoints=endpoints, **fields)
    exported: dict[str, Any] = json.loads(json.dumps(document(contract)))
    return exported


def changed(before: EndpointContract, after: EndpointContract) -> ContractDiff:
    return diff(served(before), served(after))


def told(found: ContractDiff) -> list[tuple[str, str, str]]:
    return [(change.where, change.text, change.step) for change in found.changes]


def model(name: str = "Body", **fields: Any) -> Any:
    return create_model(name, **fields)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColors(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


Case = tuple[Any, Any, str, str, str]

FIELDS: dict[str, Case] = {
    # change: (old, new, what is told, verdict on a request, verdict on a response)
    "field added, optional": (
        model(a=(int, ...)),
        model(a=(int, ...), b=(int, 0)),
        "b: added",
        "minor",
        "minor",
    ),
    "field added, required": (
        model(a=(int, ...)),
        model(a=(int, ...), b=(str, ...)),
        "b: added",
        "major",
        "minor",
    ),
    "field removed": (
        model(a=(int, ...), b=(str, ...)),
        model(a=(int, ...)),
        "b: removed",
        "major",
        "major",
    ),
    "optional field removed": (
        model(a=(int, ...), b=(str, "")),
        model(a=(int, ...)),
        "b: removed",
        "major",
        "major",
    ),
    "field narrowed": (
        model(a=(int | None, ...)),
        model(a=(int, ...)),
        "a: null is no longer allowed",
        "major",
        "minor",
    ),
    "field widened": (
        model(a=(int, ...)),
        model(a=(int | None, ...)),
        "a: may now also be null",
        "minor",
        "major",
    ),
    "field renamed": (
        model(a=(int, ...), b=(str, ...)),
        model(a=(int, ...), c=(str, ...)),
        "b: renamed to 'c'",
        "major",
        "major",
    ),
    "enum member added": (
        model(a=(Color, ...)),
        model(a=(MoreColors, ...)),
        'a: may now also be "green"',
        "minor",
        "major",
    ),
    "enum member removed": (
        model(a=(MoreColors, ...)),
        model(a=(Color, ...)),
        'a: "green" is no longer allowed',
        "major",
        "minor",
    ),
    "field of another type": (
        model(a=(int, ...)),
        model(a=(str, ...)),
        "a: integer became string",
        "major",
        "major",
    ),
    "field became required": (
        model(a=(int, 0)),
        model(a=(int, ...)),
        "a: became required",
        "major",
        "none",  # what is written has it either way
    ),
    "field became optional": (
        model(a=(int, ...)),
        model(a=(int, 0)),
        "a: became optional",
        "minor",
        "none",
    ),
    "another default": (
        model(a=(int, 0)),
        model(a=(int, 1)),
        "a: default 0 became 1",
        "minor",
        "none",
    ),
    "the whole of another type": (int, str, ": integer became string", "major", "major"),
}


def verdict(case: Case, side: str) -> tuple[str, list[str]]:
    old, new = ({f"{side}_type": each} for each in case[:2])
    found = changed(endpoint(**old), endpoint(**new))
    assert all(change.side == side and change.endpoint == "help" for change in found.changes)
    # a field that a request may leave out is always there in a response
    texts = [change.text.replace("added, required", "added") for change in found.changes]
    texts = [text.replace("added, optional", "added") for text in texts]
    return found.step, [f"{c.path}: {text}" for c, text in zip(found.changes, texts, strict=True)]


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS.keys())
def test_change_of_a_request(case: Case) -> None:
    assert verdict(case, "request") == (case[3], [case[2]])


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS.keys())
def test_change_of_a_response(case: Case) -> None:
    assert verdict(case, "response") == (case[4], [case[2]] if case[4] != "none" else [])


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS.keys())
def test_items_of_a_request_stream_are_requests(case: Case) -> None:
    old, new = (endpoint(kind="request_stream", stream_type=each) for each in case[:2])
    found = changed(old, new)
    assert (found.step, [change.side for change in found.changes]) == (case[3], ["items"])


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS.keys())
def test_nothing_changed_is_no_change(case: Case, side: str) -> None:
    same = endpoint(**{f"{side}_type": case[0]})
    found = changed(same, same)
    assert (found.changes, found.step, found.needed) == ((), "none", "1.2.3")
    assert found.sufficient
    assert not found.breaks


def test_reply_changed() -> None:
    found = changed(endpoint(response_type=int), endpoint(response_type=list[int]))
    assert told(found) == [("help response", "integer became array of integer", "major")]


@pytest.mark.parametrize(
    ("before", "after", "text", "requesting", "responding"),
    [
        (None, int, "nothing became integer", "major", "minor"),
        (None, int | None, "nothing became integer | null", "minor", "minor"),
        (int, None, "integer became nothing", "major", "major"),
        (bytes, int, "string (application/octet-stream) became integer", "major", "major"),
        (int, Any, "integer became anything", "minor", "major"),
        (Any, int, "anything became integer", "major", "minor"),
    ],
)
def test_something_from_nothing(
    before: Any, after: Any, text: str, requesting: str, responding: str
) -> None:
    found = changed(endpoint(request_type=before), endpoint(request_type=after))
    assert told(found) == [("help request", text, requesting)]
    found = changed(endpoint(response_type=before), endpoint(response_type=after))
    assert told(found) == [("help response", text, responding)]


def test_handler_removed() -> None:
    found = diff(served(endpoint(), endpoint(name="other", subject="other")), served(endpoint()))
    assert told(found) == [("other", "removed: nobody serves 'other'", "major")]


def test_handler_added() -> None:
    found = diff(served(endpoint()), served(endpoint(), endpoint(name="other", subject="other")))
    assert told(found) == [("other", "added on 'other'", "minor")]


def test_subject_changed() -> None:
    found = changed(endpoint(), endpoint(subject="desk.help"))
    assert told(found) == [("help", "subject 'help' became 'desk.help'", "major")]


def test_endpoints_are_matched_by_subject_before_name() -> None:
    old = served(endpoint(name="a", subject="x"), endpoint(name="b", subject="y"))
    new = served(endpoint(name="b", subject="x"), endpoint(name="a", subject="y"))
    found = diff(old, new)
    assert told(found) == [
        ("b", "name 'a' became 'b'", "minor"),
        ("a", "name 'b' became 'a'", "minor"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "text", "step"),
    [
        ({}, {"kind": "response_stream"}, "unary became response stream", "major"),
        ({}, {"codec": "msgpack"}, "content type 'application/json' became", "major"),
        ({}, {"queue_group": "r"}, "queue group 'q' became 'r'", "minor"),
        ({}, {"queue_group": ""}, "the number of answers changes", "major"),
        ({}, {"idempotent": True}, "became idempotent", "minor"),
        ({"idempotent": True}, {}, "no longer idempotent", "major"),
        ({"doc": "Helps."}, {"doc": "Helps you."}, "described in other words", "patch"),
        (
            {"subject": "a.*", "template": "a.{user}"},
            {"subject": "a.*", "template": "a.{id}"},
            "tokens of 'a.{user}' became those of 'a.{id}'",
            "minor",
        ),
    ],
)
def test_changes_of_the_endpoint_itself(
    before: dict[str, Any], after: dict[str, Any], text: str, step: str
) -> None:
    (change,) = changed(endpoint(**before), endpoint(**after)).changes
    assert text in change.text
    assert (change.where, change.step) == ("help", step)


class OutOfStock(RpcError, code=409):  # noqa: N818 - spelled as users spell it
    sku: str


class SoldOut(RpcError, code=410, name="OutOfStock"):  # noqa: N818 - spelled as users spell it
    """Nothing left."""

    sku: str | None


class Bare(RpcError, code=409, name="OutOfStock"):  # noqa: N818 - spelled as users spell it
    pass


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((), (OutOfStock,), [("help error OutOfStock", "added", "minor")]),
        ((OutOfStock,), (), [("help error OutOfStock", "no longer declared", "minor")]),
        ((OutOfStock,), (Bare,), [("help error OutOfStock", "has no fields now", "major")]),
        ((OutOfStock,), (OutOfStock,), []),
        ((Bare,), (Bare,), []),
        ((Bare,), (OutOfStock,), [("help error OutOfStock", "has fields now", "minor")]),
        (
            (OutOfStock,),
            (SoldOut,),
            [
                ("help error OutOfStock", "code 409 became 410", "major"),
                ("help error OutOfStock.sku", "may now also be null", "major"),
                ("help error OutOfStock", "described in other words", "patch"),
            ],
        ),
    ],
)
def test_errors(before: Any, after: Any, expected: list[tuple[str, str, str]]) -> None:
    assert told(changed(endpoint(errors=before), endpoint(errors=after))) == expected


def test_the_service_itself() -> None:
    old = served()
    found = diff(old, {**old, "name": "desk", "description": "Helps."})
    assert [(change.where, change.step) for change in found.changes] == [
        ("service", "major"),
        ("service", "patch"),
    ]


@pytest.mark.parametrize(
    ("version", "step", "expected"),
    [
        ("1.2.3", "none", "1.2.3"),
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("0.2.3", "major", "0.3.0"),
        ("0.2.3", "minor", "0.2.4"),
        ("0.2.3", "patch", "0.2.4"),
        ("1.2.3-rc.1+build.5", "minor", "1.3.0"),
        ("nonsense", "patch", "0.0.1"),
    ],
)
def test_steps_of_a_version(version: str, step: Any, expected: str) -> None:
    assert next_version(version, step) == expected


@pytest.mark.parametrize(
    ("version", "sufficient"),
    [("1.2.3", False), ("1.3.0", False), ("2.0.0", True), ("2.0.0-rc.1", True), ("10.0.0", True)],
)
def test_version_is_held_against_the_step(version: str, sufficient: bool) -> None:
    old = served(endpoint(response_type=int))
    found = diff(old, served(endpoint(response_type=str), version=version))
    assert (found.needed, found.sufficient) == ("2.0.0", sufficient)
    assert (found.old_version, found.new_version) == ("1.2.3", version)


def test_worst_comes_first() -> None:
    old = model(a=(int, ...), b=(int, ...))
    new = model(b=(int | None, ...), c=(int, 0))
    found = changed(endpoint(request_type=old, doc="x"), endpoint(request_type=new))
    assert [change.step for change in found.changes] == ["major", "minor", "minor", "patch"]
    assert found.changes[0].breaks
    assert found.breaks


def test_answer_of_a_live_service_is_a_contract() -> None:
    exported = served(endpoint(request_type=int))
    live = {**exported, "type": "io.natsrpc.v1.schema_response", "id": "X", "metadata": {}}
    assert diff(exported, live).changes == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "expected an object with a list of endpoints"),
        ({"name": "a"}, "expected an object with a list of endpoints"),
        ({"version": "1", "endpoints": []}, "it has no name"),
        ({"name": "a", "version": 1, "endpoints": []}, "it has no version"),
        ({"name": "a", "version": "1", "endpoints": [{}]}, "endpoint 0 lacks a name"),
        (
            {
                "name": "a",
                "version": "1",
                "endpoints": [{"name": "b", "subject": "b", "request": 3}],
            },
            "bad request of endpoint 'b'",
        ),
    ],
)
def test_what_is_no_contract_is_refused(value: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        diff(value, served())


def test_older_documents_lack_fields() -> None:
    old = {"name": "helpdesk", "version": "1.0.0", "endpoints": [{"name": "a", "subject": "a"}]}
    assert diff(old, old).changes == ()


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class StrictMore(Strict):
    b: int = 0


class Nested(BaseModel):
    parts: list[Strict] = Field(default_factory=list)
    by_name: dict[str, Strict] = Field(default_factory=dict)
    pair: tuple[int, Strict]


class NestedMore(BaseModel):
    parts: list[StrictMore] = Field(default_factory=list)
    by_name: dict[str, StrictMore] = Field(default_factory=dict)
    pair: tuple[int, StrictMore]


def test_paths_lead_through_lists_dictionaries_and_tuples() -> None:
    found = changed(endpoint(request_type=Nested), endpoint(request_type=NestedMore))
    assert {change.where for change in found.changes} == {
        "help request.parts[].b",
        "help request.by_name{}.b",
        "help request.pair[1].b",
    }
    assert found.step == "minor"


def test_reader_that_refuses_other_fields_breaks_by_one_more() -> None:
    assert changed(endpoint(response_type=Strict), endpoint(response_type=StrictMore)).breaks


def test_recursive_models_are_compared_once() -> None:
    class Tree(BaseModel):
        value: int
        children: list[Tree] = []

    class Other(BaseModel):
        value: str
        children: list[Other] = []

    found = changed(endpoint(request_type=Tree), endpoint(request_type=Other))
    assert told(found) == [("help request.value", "integer became string", "major")]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


class OldCat(BaseModel):
    kind: Literal["cat"]


def choice(*types: Any) -> Any:
    alternatives: Any = types[0]
    for each in types[1:]:
        alternatives = alternatives | each
    return model(pet=(alternatives, Field(discriminator="kind")))


def test_alternatives_are_matched_by_what_tells_them_apart() -> None:
    found = changed(
        endpoint(request_type=choice(Dog, OldCat)), endpoint(request_type=choice(Cat, Dog))
    )
    assert told(found) == [("help request.pet.lives", "added, required", "major")]


def test_alternative_added() -> None:
    before, after = model(pet=(Dog, ...)), choice(Dog, Cat)
    for side, step in (("request", "minor"), ("response", "major")):
        old, new = (endpoint(**{f"{side}_type": each}) for each in (before, after))
        assert told(changed(old, new)) == [(f"help {side}.pet", "may now also be Cat", step)]


Make = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("before", "after", "request_breaks", "response_breaks"),
    [
        (Field(gt=0), Field(gt=1), True, False),
        (Field(gt=0), Field(ge=0), False, True),
        (Field(ge=0), Field(ge=0, le=9), True, False),
        (Field(le=9), Field(le=10), False, True),
        (Field(multiple_of=2), Field(multiple_of=4), True, False),
        (Field(multiple_of=4), Field(multiple_of=2), False, True),
        (Field(multiple_of=4), Field(multiple_of=6), True, True),
        (Field(), Field(multiple_of=6), True, False),
        (Field(multiple_of=4), Field(), False, True),
    ],
)
def test_limits_of_numbers(
    before: Any, after: Any, request_breaks: bool, response_breaks: bool
) -> None:
    for side, breaks in (("request", request_breaks), ("response", response_breaks)):
        old, new = (
            endpoint(**{f"{side}_type": model(a=(int, field))}) for field in (before, after)
        )
        found = changed(old, new)
        assert (found.breaks, len(found.changes)) == (breaks, 1)


@pytest.mark.parametrize(
    ("before", "after", "request_breaks", "response_breaks"),
    [
        (str, Any, False, True),
        (int, float, False, True),
        (float, int, True, False),
        (Literal["a", "b"], str, False, True),
        (str, Literal["a", "b"], True, False),
        (Literal["a", None], Literal["a"], True, False),
        (Literal[1], Literal[True], True, True),
        (int | str, str | int, False, False),
        (int | str, float | str, False, True),
        (int, str | float, False, True),
        (int | str | None, str, True, False),
        (list[int], set[int], True, False),
        (set[int], list[int], False, True),
        (list[int], tuple[int, ...], False, False),
        (tuple[int, int], tuple[int, int, int], True, True),
        (tuple[int, int], list[int], False, True),
        (dict[str, int], dict[str, int | None], False, True),
        (bytes, list[bytes], True, True),
        (list[str], list[bytes], True, True),
        (bool, int, True, True),
    ],
)
def test_types(before: Any, after: Any, request_breaks: bool, response_breaks: bool) -> None:
    for side, breaks in (("request", request_breaks), ("response", response_breaks)):
        old, new = (endpoint(**{f"{side}_type": model(a=(each, ...))}) for each in (before, after))
        assert changed(old, new).breaks == breaks, side

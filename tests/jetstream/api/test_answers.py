"""Answers and errors of the server."""

from __future__ import annotations

import pytest

from natsrpc.errors import (
    ConsumerNameInUseError,
    ConsumerNotFoundError,
    JetStreamError,
    JetStreamNotEnabledError,
    MsgNotFoundError,
    StreamNameInUseError,
    StreamNotFoundError,
    WrongLastSequenceError,
)
from natsrpc.jetstream.api import error_of, parse


@pytest.mark.parametrize(
    ("number", "class_"),
    [
        (10013, ConsumerNameInUseError),
        (10014, ConsumerNotFoundError),
        (10037, MsgNotFoundError),
        (10039, JetStreamNotEnabledError),
        (10058, StreamNameInUseError),
        (10059, StreamNotFoundError),
        (10071, WrongLastSequenceError),
        (10076, JetStreamNotEnabledError),
        (10148, ConsumerNameInUseError),
        (10149, ConsumerNotFoundError),
        (10164, WrongLastSequenceError),
        (10025, JetStreamError),
        (99999, JetStreamError),
    ],
)
def test_the_class_follows_the_number_alone(number: int, class_: type) -> None:
    error = error_of({"code": 400, "err_code": number, "description": "whatever"}, b"$JS.API.X")
    assert type(error) is class_
    assert (error.code, error.err_code, error.description) == (400, number, "whatever")
    assert "'$JS.API.X'" in str(error)


def test_a_wrong_sequence_names_the_right_one_where_the_server_did() -> None:
    told = error_of({"err_code": 10071, "description": "wrong last sequence: 42"}, "s")
    assert isinstance(told, WrongLastSequenceError)
    assert told.last_seq == 42
    untold = error_of({"err_code": 10164, "description": "wrong last sequence"}, "s")
    assert isinstance(untold, WrongLastSequenceError)
    assert untold.last_seq is None


@pytest.mark.parametrize("error", [None, "refused", [], {"code": "x"}])
def test_an_error_of_any_shape_is_an_error(error: object) -> None:
    assert (error_of(error, "s").code, error_of(error, "s").err_code) == (0, 0)


@pytest.mark.parametrize("data", [b"", b"+OK", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_told(data: bytes) -> None:
    with pytest.raises(JetStreamError, match=r"'\$JS.API.INFO' is no JSON object"):
        parse(data, b"$JS.API.INFO")

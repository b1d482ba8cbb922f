"""Values that may also come as an object with one field of their name."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from natsrpc import codecs
from natsrpc.errors import DecodeError


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_a_value_is_read_bare_and_by_its_name_and_written_bare(name: str) -> None:
    bound = codecs.get(name).bind(codecs.also_named(int, "n"))
    of_any: Any = codecs.get(name).bind(Any)
    assert bound.decode(of_any.encode(5)) == 5
    assert bound.decode(of_any.encode({"n": 5, "m": 6})) == 5
    assert bound.encode(5) == of_any.encode(5)
    for wrong in ({"m": 5}, {"n": "x"}, {"n": {"n": 5}}):
        with pytest.raises(DecodeError):
            bound.decode(of_any.encode(wrong))


def test_its_schema_is_that_of_the_value() -> None:
    constrained: Any = Annotated[int, Field(ge=1)]
    codec = codecs.get("json")
    assert codec.schema(codecs.also_named(constrained, "n")) == codec.schema(constrained)


def test_text_has_no_objects_and_reads_the_value() -> None:
    codec = codecs.get("text")
    bound = codec.bind(codecs.also_named(int, "n"))
    assert (bound.decode(b"5"), bound.encode(5)) == (5, b"5")
    codec.check(codecs.also_named(int, "n"))  # type: ignore[attr-defined]

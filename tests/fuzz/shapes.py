"""What is too structured for bytes: files, contracts and the stubs made of them, by Hypothesis."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from natsrpc.cli.context import Flags, find_destination
from natsrpc.cli.duration import parse_seconds
from natsrpc.core import Options
from natsrpc.core.session.auth import check_files
from natsrpc.describe import diff, read_document, stub, typescript
from natsrpc.errors import ConfigError, NatsRpcError
from tests.describe.lexical import check

KEYWORDS = [
    "type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "A", "B", "enum",
    "const", "default", "title", "description", "required", "additionalProperties", "prefixItems",
    "format", "minimum", "exclusiveMaximum", "maxItems", "multipleOf", "pattern", "uniqueItems",
    "contentEncoding", "contentMediaType", "examples",
]  # fmt: skip
WORDS = [
    "object", "array", "string", "integer", "number", "boolean", "null", "#/$defs/A", "#/$defs/B",
    "date-time", "uuid", "decimal", "base64", "mro", "self", "class", "None", "model_dump", '"""',
    "\\", 'ends"', "a-b", "a_b", "A",
]  # fmt: skip

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(max_size=6) | st.sampled_from(WORDS)
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=20,
)


def schema_of(inner: Any) -> Any:
    """Schemas that are right by themselves, made of others."""
    named = st.dictionaries(st.text(max_size=6) | st.sampled_from(WORDS), inner, max_size=4)
    return (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries(
            {"type": st.just("object"), "properties": named},
            optional={
                "title": st.text(max_size=8) | st.sampled_from(WORDS),
                "description": st.text(max_size=20),
                "required": st.lists(st.text(max_size=6), max_size=3),
                "default": anything,
                "additionalProperties": st.booleans() | inner,
            },
        )
    )


leaves = (
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null"])},
        optional={
            "default": anything, "description": st.text(max_size=10), "minimum": st.integers(),
            "maxLength": st.integers(0, 9), "format": st.sampled_from(["date", "uuid", "x"]),
        },
    )
    | st.fixed_dictionaries({"enum": st.lists(scalars, min_size=1, max_size=4)})
    | st.fixed_dictionaries({"const": scalars})
    | st.fixed_dictionaries({"$ref": st.sampled_from(["#/$defs/A", "#/$defs/B", "#/$defs/C"])})
)  # fmt: skip
schemas = st.recursive(leaves, schema_of, max_leaves=10)
whole = st.builds(lambda root, a, b: {**root, "$defs": {"A": a, "B": b}}, schemas, schemas, schemas)
names = st.text(min_size=1, max_size=10) | st.sampled_from(WORDS)
kinds = st.sampled_from(["unary", "response_stream", "request_stream", "both_stream"])
endpoints = st.fixed_dictionaries(
    {"name": names, "subject": names},
    optional={
        "template": st.sampled_from(["a.{self}.{x}", "a.{x}.{x}", "{class}", "a.*"]) | names,
        "kind": kinds,
        "description": st.text(max_size=30),
        "request": whole | st.none(),
        "items": whole,
        "response": whole,
        "errors": st.lists(
            st.fixed_dictionaries(
                {"name": names, "code": st.integers(100, 9999)},
                optional={"fields": whole, "description": st.text(max_size=20)},
            ),
            max_size=2,
        ),
    },
)
contracts = st.fixed_dictionaries(
    {
        "name": names,
        "version": st.sampled_from(["1.0.0", "0.1.0", "1", "x.y"])
        | st.text(min_size=1, max_size=9),
        "endpoints": st.lists(endpoints, max_size=3),
    },
    optional={"description": st.text(max_size=30)},
)


@given(contracts)
def stubs(contract: Any) -> None:
    """A stub compiles, whatever its contract says."""
    try:
        source = stub(contract)
    except ConfigError:
        return
    compile(source, "stub", "exec")


@given(contracts)
def modules(contract: Any) -> None:
    """A TypeScript stub is well-formed, whatever its contract says."""
    try:
        source = typescript(contract)
    except ConfigError:
        return
    source.encode()
    check(source)


@given(contracts, contracts)
def diffs(old: Any, new: Any) -> None:
    """Two contracts are compared, and one with itself has no changes."""
    for one, other in ((old, new), (old, old)):
        try:
            found = diff(one, other)
        except ConfigError:
            continue
        assert found.changes == () or one is not other or _odd(one), found.changes


def _odd(contract: Any) -> bool:
    """Whether it holds what is not equal to itself, or two of one name."""
    found = [each[key] for key in ("name", "subject") for each in contract["endpoints"]]
    return "NaN" in json.dumps(contract) or len(set(found)) < len(found)


@given(anything)
def documents(value: Any) -> None:
    """Any JSON is a contract or an error of ours."""
    for given_ in (value, {"name": "a", "version": "1.0.0", "endpoints": value}):
        try:
            found = read_document(given_)
            stub(found)
            check(typescript(found))
        except ConfigError:
            continue


CONTEXT = [
    "url", "user", "password", "token", "creds", "nkey", "user_jwt", "user_seed", "cert", "key",
    "ca", "tls_first", "inbox_prefix", "socks_proxy", "nsc", "description",
]  # fmt: skip
REFERENCES = [
    "env://X", "file:///x", "data:;base64,QQ==", "op://a", "nsc://a/b", "$HOME", "~x", "~",
]  # fmt: skip
settings_ = st.sampled_from(REFERENCES) | scalars | st.lists(scalars, max_size=2)


@given(
    st.dictionaries(st.sampled_from(CONTEXT) | st.text(max_size=4), settings_, max_size=6)
    | anything,
    st.text(max_size=8),
)
def contexts(values: Any, name: str) -> None:
    """A context of the `nats` command is read, or refused in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "nats" / "context"
        place.mkdir(parents=True)
        (place / "c.json").write_text(json.dumps(values))
        (place.parent / "context.txt").write_text(name, errors="surrogatepass")
        for flags in (Flags(context="c"), Flags(), Flags(context=f"{name}.json")):
            try:
                find_destination(flags, {"XDG_CONFIG_HOME": folder, "X": name}, warn=lambda _: None)
            except NatsRpcError as error:
                assert "\n" not in str(error).replace(name, "")


parts = st.text(max_size=5) | st.sampled_from([
    "-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------", "SU" + "A" * 56, "\n", " ",
    "-----BEGIN USER NKEY SEED-----", "e30.e30.AAAA", "a.b.c", "---", "BEGIN", "JWT", "SEED",
])  # fmt: skip


@given(st.lists(parts, max_size=12).map("".join), st.binary(max_size=30))
def credentials(text: str, binary: bytes) -> None:
    """A file of credentials is refused before dialing, or whole."""
    with tempfile.TemporaryDirectory() as folder:
        for content in (text.encode("utf-8", "surrogatepass"), binary, base64.b64encode(binary)):
            path = Path(folder) / "f"
            path.write_bytes(content)
            for option in ("credentials", "nkey_seed"):
                try:
                    check_files(Options.of({option: path}))
                except ConfigError:
                    continue


@given(st.text("0123456789.msh٣ ", max_size=12))
def durations(text: str) -> None:
    """A duration is seconds, finite and not negative."""
    try:
        seconds = parse_seconds(text)
    except ConfigError:
        return
    assert 0 <= seconds < float("inf")


SHAPES: dict[str, Callable[[], None]] = {
    "stubs": stubs,
    "modules": modules,
    "diffs": diffs,
    "documents": documents,
    "contexts": contexts,
    "credentials": credentials,
    "durations": durations,
}
"""Every property, by name."""

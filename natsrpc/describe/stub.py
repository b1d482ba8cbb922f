"""A contract as a Python module: models, errors, and a client class with a method per endpoint.

`natsrpc stub` calls it, for callers in another repository who have no access to the service's code.
The module that is written needs natsrpc and pydantic alone. The events that the service publishes
or subscribes to are `Event`s in it. A contract does not tell which headers a handler reads, so
every method takes `headers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from natsrpc import errors

from .annotations import annotation, arguments
from .budget import bounded
from .classes import INDENT, RESERVED_CLASSES, Classes, FieldSource, called
from .document import read_document
from .names import Names, class_name, docstring, identifier, literal, method_name, words

TOKEN = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
BUILTIN_ERRORS = frozenset(
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.RpcError)
)
"""Names of the errors that natsrpc itself defines; they get no class of their own."""

_BUILTIN_TYPES = frozenset(
    {"bool", "bytes", "dict", "dt", "float", "int", "list", "set", "str", "tuple"}
)
"""Names in annotations. A method of such a name would hide the type in the class's own body."""

_GIVEN = frozenset({"self", "timeout", "idle_timeout", "headers", "request", "items"})
"""Parameters of every method, which no argument or token may be named like."""


@bounded
def stub(contract: Mapping[str, Any]) -> str:
    """Return the source of a client module.

    Args:
        contract: the document of a service: made by `document`, exported to a file, or answered by
            a live service.

    Raises:
        ConfigError: it is no contract, or too large or too deep to be written.
    """
    return _Module(read_document(contract)).text()


@dataclass(slots=True)
class _Method:
    """One endpoint's method. Every field is source text, but `endpoint`, which is its document."""

    name: str
    constant: str
    """The name of the module's `EndpointContract` for it."""
    endpoint: Mapping[str, Any]
    parameters: list[str] = field(default_factory=list)
    keyword_only: list[str] = field(default_factory=list)
    request: str = ""
    """The expression for the body that is sent; "" for none."""
    request_type: str = "None"
    items_type: str = "None"
    response: str = "None"
    tokens: dict[str, str] = field(default_factory=dict)
    """Token of the subject -> parameter that gives it."""


class _Module:
    """The module of one document, built up endpoint by endpoint."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._names = Names(RESERVED_CLASSES)
        self._client = self._names.take(class_name(document["name"]), "Client")
        self._titles = set(_titles([*document["endpoints"], *document["publishes"]]))
        self._classes = Classes(self._names, self._titles)
        self._classes.need("import natsrpc")
        self._errors: dict[str, str] = {}
        self._left_out: list[str] = []

    def text(self) -> str:
        names, constant_names = Names(self._titles | _BUILTIN_TYPES), Names()
        methods: dict[str, _Method] = {}
        events = self._events()
        for endpoint in self._document["endpoints"]:
            if endpoint["kind"] in ("event", "worker"):
                continue
            if {"*", ">"} & set(endpoint["template"].split(".")):
                self._left_out.append(endpoint["template"])
                continue
            name = method_name(endpoint["name"])
            # endpoints may share a name: their subjects tell them apart
            other = method_name(endpoint["template"]) if name in methods else f"{name}_"
            name = names.take(name, other)
            constant = constant_names.take(f"_{name.strip('_').upper()}")
            methods[name] = self._method(name, constant, endpoint)
        constants = ["\n".join(self._constant(method)) for method in methods.values()]
        client = "\n".join(self._class(methods.values()))
        imports = "\n".join(_imports(self._classes.imports))
        head = f"{self._doc()}\n\nfrom __future__ import annotations\n\n{imports}\n"
        classes = "".join(f"\n\n{part}\n" for part in self._classes.classes)
        tables = "".join("\n\n{}\n".format("\n".join(each)) for each in (events, constants) if each)
        if not methods and events:
            return f"{head}{classes}{tables}"
        return f"{head}{classes}{tables}\n\n{client}\n"

    def _doc(self) -> str:
        document = self._document
        text = f"Calls to the service {document['name']} {document['version']}.\n\n"
        text += (
            "Written by `natsrpc stub` from the service's schema: write it again, do not edit it."
        )
        for template in self._left_out:
            text += f"\n\nLeft out, because a call or an event needs one subject: {template}"
        return "\n".join(docstring(text, ""))

    # events

    def _events(self) -> list[str]:
        """The lines that define each event, named after its subject: what the service publishes,
        then what it subscribes to or works on."""
        lines: list[str] = []
        constants, known = Names(self._titles | {self._client, "natsrpc"}), set()
        for event in self._document["publishes"]:
            known.add(event["subject"])
            lines += self._event(constants, event["subject"], event["payload"], event)
        for each in self._document["endpoints"]:
            if each["kind"] not in ("event", "worker") or each["template"] in known:
                continue
            if {"*", ">"} & set(each["template"].split(".")):
                self._left_out.append(each["template"])
                continue
            if each["request"] is not None:  # else it does not say what is published
                known.add(each["template"])
                lines += self._event(constants, each["template"], each["request"], {})
        return lines

    def _event(
        self, constants: Names, subject: str, payload: Any, event: Mapping[str, Any]
    ) -> list[str]:
        name = constants.take(words(subject).upper())
        kind = annotation(self._classes, payload, f"{name.lower()}-event")
        given = [literal(subject), "None" if payload is None else kind]
        if event.get("description"):
            given.append(f"description={literal(event['description'])}")
        if _has_key(payload, event.get("key") or ""):
            given.append(f"key={literal(event['key'])}")
        return called(f"{name} = natsrpc.Event", given)

    # one endpoint

    def _method(self, name: str, constant: str, endpoint: Mapping[str, Any]) -> _Method:
        method = _Method(name, constant, endpoint)
        taken = Names(_GIVEN)
        request = endpoint["request"]
        if request is not None and _is_arguments(request):
            self._arguments(method, request, taken)
        elif request is not None:
            method.request_type = annotation(self._classes, request, f"{name}-request")
            method.parameters.append(f"request: {method.request_type}")
            method.request = "request"
        if endpoint["items"] is not None:
            self._classes.need("from collections.abc import AsyncIterable")
            method.items_type = annotation(self._classes, endpoint["items"], f"{name}-item")
            method.parameters.insert(0, f"items: AsyncIterable[{method.items_type}]")
        for token in TOKEN.findall(endpoint["template"]):
            method.tokens[token] = taken.take(identifier(token), f"{token}_token")
            method.keyword_only.append(f"{method.tokens[token]}: str")
        if endpoint["response"] is not None:
            method.response = annotation(self._classes, endpoint["response"], f"{name}-response")
        for error in endpoint["errors"]:
            self._error(error)
        return method

    def _arguments(self, method: _Method, request: Mapping[str, Any], taken: Names) -> None:
        method.request_type, fields = arguments(self._classes, request, f"{method.name}-request")
        given = []
        for each in sorted(fields, key=lambda each: bool(each.default)):
            name = taken.take(each.name, f"{each.name}_")
            method.parameters.append(_parameter(name, each))
            given.append(f"{each.name}={name}")
        method.request = f"{method.request_type}({', '.join(given)})"

    def _error(self, error: Mapping[str, Any]) -> str:
        """Return the name of a declared error's class, and write the class when it is first met."""
        if error["name"] in BUILTIN_ERRORS and error["fields"] is None:
            return f"natsrpc.{error['name']}"
        key = repr(error)
        if key not in self._errors:
            self._errors[key] = self._names.take(class_name(error["name"]))
            self._classes.classes.append("\n".join(self._error_class(self._errors[key], error)))
        return self._errors[key]

    def _error_class(self, name: str, error: Mapping[str, Any]) -> list[str]:
        given = [f"code={int(error['code'])}"]
        if name != error["name"]:
            given.append(f"name={literal(error['name'])}")
        lines = docstring(str(error["description"]), INDENT)
        schema = error["fields"] or {}
        if schema and lines:
            lines.append("")
        for key, node in schema.get("properties", {}).items():
            if key == identifier(key):  # the fields of an error are named as they travel
                kind = annotation(self._classes, {**node, "$defs": schema.get("$defs", {})}, key)
                lines.append(f"{INDENT}{key}: {kind}")
        return [
            f"class {name}(natsrpc.RpcError, {', '.join(given)}):",
            *(lines or [f"{INDENT}pass"]),
        ]

    def _constant(self, method: _Method) -> list[str]:
        endpoint = method.endpoint
        given = [literal(endpoint[key]) for key in ("name", "subject", "queue_group")]
        if endpoint["template"] != endpoint["subject"]:
            given.append(f"template={literal(endpoint['template'])}")
        if endpoint["kind"] != "unary":
            given.append(f"kind={literal(endpoint['kind'])}")
        if endpoint["idempotent"]:
            given.append("idempotent=True")
        for key, kind in (
            ("request_type", method.request_type),
            ("stream_type", method.items_type),
            ("response_type", method.response),
        ):
            if kind != "None":
                given.append(f"{key}={kind}")
        declared = [self._error(each) for each in endpoint["errors"]]
        if declared:
            given.append(f"errors=({', '.join(declared)}{',' if len(declared) == 1 else ''})")
        return called(f"{method.constant} = natsrpc.EndpointContract", given)

    # the class

    def _class(self, methods: Iterable[_Method]) -> list[str]:
        lines = [f"class {self._client}:"]
        lines += docstring(
            self._document["description"] or f"Calls to {self._document['name']}.", INDENT
        )
        lines += [
            "",
            f"{INDENT}def __init__(self, client: natsrpc.Client) -> None:",
            f"{INDENT * 2}self._client = client",
        ]
        for method in methods:
            lines += ["", *self._lines(method)]
        return lines

    def _lines(self, method: _Method) -> list[str]:
        endpoint = method.endpoint
        self._classes.need("from collections.abc import Mapping")
        streams = endpoint["kind"] in ("response_stream", "both_stream")
        unary = endpoint["kind"] == "unary"
        keywords = [*method.keyword_only, f"timeout: float | None = {'5.0' if unary else 'None'}"]
        given = [method.constant]
        if streams:
            keywords.append("idle_timeout: float | None = None")
        elif not unary:
            given.append("items")
        keywords.append("headers: Mapping[str, str] | None = None")
        if method.request:
            given.append(method.request)
        given.append("timeout=timeout")
        if streams:
            given.append("idle_timeout=idle_timeout")
            if endpoint["kind"] == "both_stream":
                given.append("items=items")
        given.append("headers=headers")
        if method.tokens:
            pairs = ", ".join(f"{literal(key)}: {name}" for key, name in method.tokens.items())
            given.append(f"tokens={{{pairs}}}")
        returns = method.response
        if streams:
            self._classes.need("from collections.abc import AsyncGenerator")
            returns = f"AsyncGenerator[{returns}, None]"
        start = f"{INDENT}{'' if streams else 'async '}def {method.name}"
        return [
            *_signature(start, ["self", *method.parameters, "*", *keywords], returns),
            *docstring(endpoint["description"], INDENT * 2),
            *_body(method, given, streams=streams, unary=unary),
        ]


def _titles(value: Any) -> Iterator[str]:
    """The names that classes made of these schemas may get. They must be known before the first
    method or field is named, which would otherwise hide a class."""
    if isinstance(value, Mapping):
        definitions = value.get("$defs")  # a default of any shape may be among what is looked at
        for name, node in definitions.items() if isinstance(definitions, Mapping) else ():
            yield class_name(name)
            if isinstance(node, Mapping) and isinstance(node.get("title"), str):
                yield class_name(node["title"])
        for side in ("request", "items", "response", "payload"):
            if isinstance(value.get(side), Mapping) and isinstance(value[side].get("title"), str):
                yield class_name(value[side]["title"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _titles(item)


def _body(method: _Method, given: list[str], *, streams: bool, unary: bool) -> list[str]:
    indent = INDENT * 2
    if streams:
        return called(f"{indent}return self._client.stream", given, indent)
    call = f"await self._client.{'call' if unary else 'upload'}"
    if method.response == "None":
        return called(f"{indent}{call}", given, indent)
    lines = called(f"{indent}response: {method.response} = {call}", given, indent)
    return [*lines, f"{indent}return response"]


def _signature(start: str, parameters: list[str], returns: str) -> list[str]:
    lines = [f"{INDENT * 2}{each}," for each in parameters]
    return [f"{start}(", *lines, f"{INDENT}) -> {returns}:"]


def _parameter(name: str, each: FieldSource) -> str:
    text = f"{name}: {each.annotation}"
    return f"{text} = {each.default}" if each.default else text


def _has_key(payload: Any, name: str) -> bool:
    """Whether the class that is written for a schema has a field of this name that can be a key."""
    properties = payload.get("properties") if isinstance(payload, Mapping) else None
    found = properties.get(name) if isinstance(properties, Mapping) else None
    if not isinstance(found, Mapping) or identifier(name) != name:
        return False
    is_text = found.get("type") == "string" and "contentEncoding" not in found
    is_text = is_text and found.get("format") in (None, "uuid", "date", "date-time")
    return is_text or found.get("type") == "integer"


def _is_arguments(schema: Mapping[str, Any]) -> bool:
    """Whether a request is an object of a handler's parameters. Such a schema has no title, while
    every model and dataclass has one."""
    return (
        schema.get("type") == "object" and "title" not in schema and bool(schema.get("properties"))
    )


def _imports(lines: set[str]) -> list[str]:
    """The import lines in a formatter's order: sorted, a line per module, third parties last."""
    modules: dict[str, set[str]] = {}
    plain = set()
    for line in lines:
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            modules.setdefault(module, set()).add(name)
        else:
            plain.add(line.removeprefix("import "))
    of_others = ("natsrpc", "pydantic")
    sections: list[str] = []
    for others in (False, True):
        found = [f"import {name}" for name in sorted(plain) if (name in of_others) == others]
        found += [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in sorted(modules.items())
            if (module in of_others) == others
        ]
        sections += [*([""] if sections and found else []), *found]
    return sections

"""A contract as a TypeScript module: types, errors, and a class with a method per endpoint.

`natsrpc stub --lang typescript` calls it, for callers in Node.js, Deno, Bun and browsers. The
module needs `@nats-io/nats-core` alone. How calls go over the wire is at its end: `runtime.ts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from .budget import bounded
from .document import read_document
from .names import Names, class_name, method_name, words
from .schemas import RAW
from .stub import BUILTIN_ERRORS, TOKEN
from .tstypes import INDENT, Types, comment, text

_WILDCARDS = {"*", ">"}
_CALLED = {"unary", "response_stream", "request_stream", "both_stream"}
_IMPORTS = """\
import {
  createInbox,
  errors as natsErrors,
  headers as natsHeaders,
  Match,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type PublishOptions,
  type Subscription,
} from "@nats-io/nats-core";"""
_GLOBALS = "Array BigInt Function Iterable JSON Object Proxy ReadonlyArray Symbol This"
_METHODS = frozenset({"constructor", "then", "toString", "valueOf", "toJSON"})
"""Names that a method must not have: an object with a `then` is taken for a promise."""


@bounded
def typescript(contract: Mapping[str, Any]) -> str:
    """Return the source of a client module in TypeScript.

    Args:
        contract: the document of a service: made by `document`, exported to a file, or answered by
            a live service.

    Raises:
        ConfigError: it is no contract, or too large or too deep to be written.
    """
    return _Module(read_document(contract)).text()


@dataclass(slots=True)
class _Method:
    """One method of the class, as source text."""

    name: str
    doc: str
    start: str = "async "
    parameters: list[str] = field(default_factory=list)
    options: str = "CallOptions"
    returns: str = "Promise<void>"
    body: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the method's lines."""
        given = ", ".join([*self.parameters, f"options: {self.options} = {{}}"])
        return [
            *comment(self.doc, INDENT),
            f"{INDENT}{self.start}{self.name}({given}): {self.returns} {{",
            *(f"{INDENT * 2}{line}" for line in self.body),
            f"{INDENT}}}",
        ]


class _Module:
    """The module of one document, built up endpoint by endpoint."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        runtime = resources.files(__package__) / "runtime.ts"
        self._runtime = runtime.read_text(encoding="utf-8")
        self._document = document
        self._names = Names(_words(self._runtime + _IMPORTS + _GLOBALS))
        self._client = self._names.take(
            class_name(document["name"]), f"{class_name(document['name'])}Client"
        )
        self._types = Types(self._names)
        self._method_names = Names(_METHODS)
        self._methods: list[_Method] = []
        self._errors: dict[str, str] = {}
        self._classes: list[str] = []
        self._left_out: list[str] = []

    def text(self) -> str:
        for endpoint in self._document["endpoints"]:
            if _WILDCARDS & set(endpoint["template"].split(".")):
                self._left_out.append(endpoint["template"])
            elif endpoint["kind"] in _CALLED:
                self._endpoint(endpoint)
            elif endpoint["kind"] == "event" and endpoint["request"] is not None:
                self._publish(endpoint)
        for event in self._document["publishes"]:
            self._event(event)
        if not self._methods:
            return f"{self._head()}\n\nexport {{}};\n"
        parts = [
            self._head(),
            _IMPORTS,
            *self._types.declarations,
            self._class(),
            self._runtime.rstrip(),
            *self._classes,
        ]
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        document = self._document
        told = f"Calls to the service {document['name']} {document['version']}.\n\n"
        told += (
            "Written by `natsrpc stub` from the service's schema: write it again, do not edit it."
        )
        for template in self._left_out:
            told += f"\n\nLeft out, because a call or an event needs one subject: {template}"
        return "\n".join(comment(told, ""))

    def _class(self) -> str:
        lines = comment(self._document["description"] or f"Calls to {self._document['name']}.", "")
        lines += [
            f"export class {self._client} {{",
            f"{INDENT}readonly #connection: NatsConnection;",
            "",
            f"{INDENT}constructor(connection: NatsConnection) {{",
            f"{INDENT * 2}this.#connection = connection;",
            f"{INDENT}}}",
        ]
        for method in self._methods:
            lines += ["", *method.lines()]
        return "\n".join([*lines, "}"])

    def _new(self, name: str, other: str, doc: str) -> _Method:
        chosen = self._method_names.take(_camel(name), _camel(other))
        method = _Method(chosen, doc)
        self._methods.append(method)
        return method

    # endpoints

    def _endpoint(self, endpoint: Mapping[str, Any]) -> None:
        name = endpoint["name"]
        method = self._new(name, endpoint["template"], endpoint["description"])
        kind, raw = endpoint["kind"], endpoint["response"] == RAW
        sent = self._body(method, endpoint)
        given = ["this.#connection", _subject(endpoint["template"], method), sent, "options"]
        given.append(self._known(endpoint, method.name))
        if endpoint["items"] is not None:
            given.append("items" if endpoint["items"] == RAW else "wire.encoded(items)")
        response = "void"
        if endpoint["response"] is not None:
            response = self._types.type(endpoint["response"], f"{name}-response")
        if kind in ("response_stream", "both_stream"):
            method.start, method.options = "async *", "StreamOptions"
            method.returns = f"AsyncGenerator<{response}>"
            value = "data" if raw else f"wire.decode<{response}>(data)"
            call = f"wire.streamed({', '.join(given)})"
            method.body.append(f"for await (const data of {call}) yield {value};")
            return
        call = f"await wire.{'ask' if kind == 'unary' else 'uploaded'}({', '.join(given)})"
        method.returns = f"Promise<{response}>"
        if response == "void":
            method.body.append(f"{call};")
        else:
            method.body.append(f"return {call if raw else f'wire.decode<{response}>({call})'};")

    def _body(self, method: _Method, endpoint: Mapping[str, Any]) -> str:
        """Give a method the parameters of its body and items, and return the body's expression."""
        sent = "new Uint8Array()"
        if endpoint["items"] is not None:
            item = self._types.type(endpoint["items"], f"{endpoint['name']}-item")
            method.parameters.append(f"items: AsyncIterable<{item}> | Iterable<{item}>")
        if endpoint["request"] is not None:
            kind = self._types.type(endpoint["request"], f"{endpoint['name']}-request")
            method.parameters.append(f"request: {kind}")
            sent = "request" if endpoint["request"] == RAW else "wire.encode(request)"
        return sent

    def _known(self, endpoint: Mapping[str, Any], method: str) -> str:
        """Return the expression for the errors that an endpoint declares."""
        pairs = [
            f"[{text(each['name'])}, {self._error(each)}]"
            for each in endpoint["errors"]
            if each["name"] not in BUILTIN_ERRORS or each["fields"] is not None
        ]
        if not pairs:
            return "new Map()"
        name = self._names.take(f"{method}Errors")
        self._classes.append(
            f"const {name}: Errors = new Map<string, ErrorClass>([{', '.join(pairs)}]);"
        )
        return name

    def _error(self, error: Mapping[str, Any]) -> str:
        """Return the name of a declared error's class, and write the class when it is first met."""
        key = repr(error)
        if key not in self._errors:
            name = self._errors[key] = self._names.take(class_name(error["name"]))
            details = "undefined"
            if error["fields"] is not None:
                details = self._types.type(
                    {**error["fields"], "title": f"{name}Details"}, f"{name}-details"
                )
            lines = [*comment(error["description"], ""), f"export class {name} extends RpcError {{"]
            lines.append(f"{INDENT}declare readonly details: {details};")
            self._classes.append("\n".join([*lines, "}"]))
        return self._errors[key]

    # events

    def _event(self, event: Mapping[str, Any]) -> None:
        doc = f"{event['description']}\n\nEach event as it comes, until the loop is left."
        method = self._new(f"on_{words(event['subject'])}", "on_event", doc)
        payload = event["payload"]
        kind = "void" if payload is None else self._types.type(payload, f"{method.name}-event")
        subject = TOKEN.sub("*", event["subject"])
        call = f"wire.heard(this.#connection, {text(subject)}, options)"
        value = "data" if payload == RAW else f"wire.decode<{kind}>(data)"
        method.start, method.options = "async *", "EventOptions"
        method.returns = f"AsyncGenerator<{kind}>"
        each, value = ("_", "undefined") if payload is None else ("data", value)
        method.body.append(f"for await (const {each} of {call}) yield {value};")

    def _publish(self, endpoint: Mapping[str, Any]) -> None:
        doc = f"Publish an event that {self._document['name']} hears."
        name = f"publish_{words(endpoint['template'])}"
        method = self._new(name, f"publish_{endpoint['name']}", doc)
        sent = self._body(method, endpoint)
        subject = _subject(endpoint["template"], method)
        method.start, method.returns = "", "void"
        method.options = 'Pick<CallOptions, "headers">'
        method.body.append(f"wire.told(this.#connection, {subject}, {sent}, options);")


def _words(source: str) -> list[str]:
    """Return the words of the part that is always the same: names that none of ours may take."""
    return re.findall(r"[A-Za-z]\w*", re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.DOTALL))


def _subject(template: str, method: _Method) -> str:
    """Give a method the parameter for the tokens of its subject, and return the subject's
    expression."""
    tokens = dict.fromkeys(TOKEN.findall(template))
    if not tokens:
        return text(template)
    fields = "; ".join(f"{token}: string" for token in tokens)
    method.parameters.append(f"tokens: {{ {fields} }}")
    return f"wire.filled({text(template)}, tokens)"


def _camel(name: str) -> str:
    """Return a name as TypeScript has it: the words joined, each but the first with a capital."""
    first, *rest = [part for part in method_name(name).split("_") if part] or ["endpoint"]
    return first + "".join(part[:1].upper() + part[1:] for part in rest)

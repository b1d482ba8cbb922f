"""The changes from one contract of a service to another, and the version that they need.

`natsrpc contract diff` calls it. Each change needs a step of the version: a major one if it breaks
a caller, a minor one if callers can do without it, a patch if only words changed. Before 1.0.0 a
major step is a minor one and a minor step a patch, as is the custom of semantic versioning.

Ref: https://semver.org
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .budget import Budget, bounded
from .compare import compare, spelled
from .document import read_document

Step: TypeAlias = Literal["none", "patch", "minor", "major"]
"""By how much a version must rise."""
Document: TypeAlias = Mapping[str, Any]

_STEPS: tuple[Step, ...] = ("none", "patch", "minor", "major")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a contract."""

    endpoint: str
    """The new name of the endpoint, subscriber or worker, or its old one if it is gone; the subject
    of an event that is published; "" for the service itself."""
    side: str
    """One of "request", "items", "response" and "error NAME"; "event" of what a subscriber or a
    worker reads, "published" of what is published; "" for the endpoint itself."""
    path: str
    """The changed field, as in `items[].price`; "" for the whole body."""
    text: str
    """What changed, for people."""
    step: Step
    """The step of the version that the change needs, as from 1.0.0 on."""

    @property
    def breaks(self) -> bool:
        """Whether a caller of the old contract can fail at the new one."""
        return self.step == "major"

    @property
    def where(self) -> str:
        """Endpoint, side and path together, as in "help request.question.topic"."""
        field = ".".join(filter(None, (self.side, self.path)))
        return " ".join(filter(None, (self.endpoint, field))) or "service"


@dataclass(frozen=True, slots=True)
class ContractDiff:
    """All changes from one contract to another: the result of `diff`."""

    old_version: str
    new_version: str
    changes: tuple[Change, ...]
    """The changes; those that break callers come first."""
    step: Step
    """The greatest step that one of them needs; "none" without a change."""
    needed: str
    """The lowest version that the new contract may have."""
    sufficient: bool
    """Whether the new contract has that version or a higher one."""

    @property
    def breaks(self) -> bool:
        """Whether a caller of the old contract can fail at the new one."""
        return self.step == "major"


@bounded
def diff(old: Document, new: Document) -> ContractDiff:
    """Compare two documents: as `document` made them, exported, or answered by a live service.

    Args:
        old: the contract that callers rely on.
        new: the contract to compare with it.

    Raises:
        ConfigError: one of them is no contract, or too large or too deep to be compared.
    """
    old, new = read_document(old), read_document(new)
    budget = Budget()
    changes = [
        *_services(old, new),
        *_all_endpoints(_called(old), _called(new), budget),
        *_subscribers(_of_kind(old, "event"), _of_kind(new, "event"), budget),
        *_workers(_of_kind(old, "worker"), _of_kind(new, "worker"), budget),
        *_publications(old["publishes"], new["publishes"], budget),
    ]
    changes.sort(key=lambda each: -_STEPS.index(each.step))
    step = changes[0].step if changes else "none"
    needed = next_version(old["version"], step)
    return ContractDiff(
        old_version=old["version"],
        new_version=new["version"],
        changes=tuple(changes),
        step=step,
        needed=needed,
        sufficient=version_numbers(new["version"]) >= version_numbers(needed),
    )


def next_version(version: str, step: Step) -> str:
    """Return the lowest version that is one such step after `version`.

    Before 1.0.0 a major step is a minor one and a minor step a patch. For "none" it is `version`.
    """
    major, minor, patch = version_numbers(version)
    place = _STEPS.index(step)
    if major == 0 and place > 1:
        place -= 1
    stepped = (
        (major, minor, patch),
        (major, minor, patch + 1),
        (major, minor + 1, 0),
        (major + 1, 0, 0),
    )[place]
    return version if step == "none" else ".".join(map(str, stepped))


def version_numbers(version: str) -> tuple[int, int, int]:
    """Return major, minor and patch of a version; 0 for each that is missing or no number.

    Pre-release and build parts ("-rc.1", "+7") are ignored.
    """
    found = version.partition("+")[0].partition("-")[0].split(".")
    parts = [int(part) if part.isdecimal() and len(part) < 20 else 0 for part in [*found, "0", "0"]]
    return parts[0], parts[1], parts[2]


def _of_kind(document: Document, kind: str) -> list[Document]:
    """The subscribers ("event") or the workers ("worker")."""
    return [each for each in document["endpoints"] if each["kind"] == kind]


def _called(document: Document) -> list[Document]:
    """The endpoints that are called."""
    return [each for each in document["endpoints"] if each["kind"] not in ("event", "worker")]


def _services(old: Document, new: Document) -> Iterator[Change]:
    if old["name"] != new["name"]:
        text = f"name {old['name']!r} became {new['name']!r}: who looks for it finds it no more"
        yield Change("", "", "", text, "major")
    if old["description"] != new["description"]:
        yield Change("", "", "", "described in other words", "patch")


def _all_endpoints(old: list[Document], new: list[Document], budget: Budget) -> Iterator[Change]:
    left = list(new)
    pairs: list[tuple[Document, Document | None]] = []
    unmatched = []
    for each in old:  # by subject first, and only then by name: callers send to the subject
        other = next((o for o in left if o["subject"] == each["subject"]), None)
        if other is None:
            unmatched.append(each)
        else:
            left.remove(other)
            pairs.append((each, other))
    for each in unmatched:
        other = next((o for o in left if o["name"] == each["name"]), None)
        if other is not None:
            left.remove(other)
        pairs.append((each, other))
    for before, after in pairs:
        if after is None:
            text = f"removed: nobody serves {before['template']!r}"
            yield Change(before["name"], "", "", text, "major")
        else:
            yield from _endpoints(before, after, budget)
    for each in left:
        yield Change(each["name"], "", "", f"added on {each['template']!r}", "minor")


def _endpoints(old: Document, new: Document, budget: Budget) -> Iterator[Change]:
    name = new["name"]
    for text, step in _places(old, new):
        yield Change(name, "", "", text, step)
    for side in ("request", "items", "response"):
        yield from _sides(name, side, old[side], new[side], budget)
    before = {error["name"]: error for error in old["errors"]}
    after = {error["name"]: error for error in new["errors"]}
    for error in sorted(before.keys() - after.keys()):
        yield Change(name, f"error {error}", "", "no longer declared", "minor")
    for error in sorted(after.keys() - before.keys()):
        yield Change(name, f"error {error}", "", "added", "minor")
    for error in sorted(before.keys() & after.keys()):
        yield from _errors(name, before[error], after[error], budget)


def _places(old: Document, new: Document) -> Iterator[tuple[str, Step]]:
    if old["subject"] != new["subject"]:
        yield f"subject {old['template']!r} became {new['template']!r}", "major"
    elif old["template"] != new["template"]:
        yield f"tokens of {old['template']!r} became those of {new['template']!r}", "minor"
    if old["name"] != new["name"]:
        yield f"name {old['name']!r} became {new['name']!r}", "minor"
    if old["kind"] != new["kind"]:
        yield f"{_word(old['kind'])} became {_word(new['kind'])}", "major"
    if old["content_type"] != new["content_type"]:
        text = f"content type {old['content_type']!r} became {new['content_type']!r}"
        yield f"{text}, by which requests are read that name none", "major"
    if old["queue_group"] != new["queue_group"]:
        text = f"queue group {old['queue_group']!r} became {new['queue_group']!r}"
        if old["queue_group"] and new["queue_group"]:
            yield f"{text}: while both run, each answers", "minor"
        else:
            yield f"{text}: the number of answers changes", "major"
    if old["idempotent"] and not new["idempotent"]:
        yield "no longer idempotent: callers send it again", "major"
    elif new["idempotent"] and not old["idempotent"]:
        yield "became idempotent", "minor"
    if old["description"] != new["description"]:
        yield "described in other words", "patch"


def _word(kind: str) -> str:
    return kind.replace("_", " ")


def _sides(name: str, side: str, old: Any, new: Any, budget: Budget) -> Iterator[Change]:
    if old is None and new is None:
        return
    if old is None:
        needs = side != "response" and not _may_be_empty(new)
        text = f"nothing became {spelled(new)}"
        yield Change(name, side, "", text, "major" if needs else "minor")
    elif new is None:
        yield Change(name, side, "", f"{spelled(old)} became nothing", "major")
    else:
        yield from _differences(name, side, old, new, budget, response=side == "response")


def _may_be_empty(schema: Document) -> bool:
    """Whether an empty request is a value of the schema."""
    if any(each.get("type") == "null" for each in schema.get("anyOf", ())):
        return True
    arguments = schema.get("type") == "object" and "title" not in schema
    return arguments and bool(schema.get("properties")) and not schema.get("required")


def _differences(
    name: str, side: str, old: Document, new: Document, budget: Budget, *, response: bool
) -> Iterator[Change]:
    for each in compare(old, new, budget):
        if each.choice and response:  # a default fills in requests; responses are written whole
            continue
        breaks = each.breaks_response if response else each.breaks_request
        step: Step = "major" if breaks else "patch" if each.talk else "minor"
        yield Change(name, side, each.path, each.text, step)


# events


def _subscribers(old: list[Document], new: list[Document], budget: Budget) -> Iterator[Change]:
    """A subscriber is told by its name, which names its queue group; then by what it hears."""
    pairs, left = _paired(old, new)
    for before, after in pairs:
        if after is None:
            text = f"removed: it handles no event on {before['template']!r} any more"
            yield Change(before["name"], "", "", text, "major")
        else:
            yield from _subscriber(before, after, budget)
    for each in left:
        text = f"added: handles events on {each['template']!r}"
        yield Change(each["name"], "", "", text, "minor")


def _paired(
    old: list[Document], new: list[Document]
) -> tuple[list[tuple[Document, Document | None]], list[Document]]:
    """Each of the old ones with the new one of its name, or else of its subject, and what is left
    of the new ones."""
    left = list(new)
    pairs: list[tuple[Document, Document]] = []
    for key in ("name", "subject"):
        for each in [each for each in old if all(each is not pair[0] for pair in pairs)]:
            other = next((other for other in left if other[key] == each[key]), None)
            if other is not None:
                left.remove(other)
                pairs.append((each, other))
    found = [(each, next((o for e, o in pairs if e is each), None)) for each in old]
    return found, left


def _subscriber(old: Document, new: Document, budget: Budget) -> Iterator[Change]:
    name = new["name"]
    if old["subject"] != new["subject"]:
        text = f"events of {old['template']!r} became those of {new['template']!r}"
        yield Change(name, "", "", text, "major")
    if old["name"] != new["name"]:
        text = f"name {old['name']!r} became {new['name']!r}"
        if old["queue_group"] and new["queue_group"] and old["queue_group"] != new["queue_group"]:
            text += (
                f", and so its queue group {new['queue_group']!r}: while both versions run, each "
                f"event is handled by both; name={old['name']!r} keeps it"
            )
        yield Change(name, "", "", text, "minor")
    elif old["queue_group"] != new["queue_group"]:
        text = f"queue group {old['queue_group']!r} became {new['queue_group']!r}"
        if old["queue_group"] and new["queue_group"]:
            text += ": while both versions run, each event is handled by both"
            yield Change(name, "", "", text, "minor")
        else:
            yield Change(name, "", "", f"{text}: how often an event is handled changes", "major")
    yield from _reading(old, new, budget)


def _reading(old: Document, new: Document, budget: Budget) -> Iterator[Change]:
    """What a subscriber or worker reads of a message."""
    name = new["name"]
    if old["content_type"] != new["content_type"]:
        text = f"content type {old['content_type']!r} became {new['content_type']!r}"
        yield Change(name, "", "", f"{text}, by which events are read that name none", "major")
    if old["description"] != new["description"]:
        yield Change(name, "", "", "described in other words", "patch")
    if new["request"] is None and old["request"] is not None:
        text = f"{spelled(old['request'])} became nothing: it reads no event any more"
        yield Change(name, "event", "", text, "minor")
    else:
        yield from _sides(name, "event", old["request"], new["request"], budget)


def _workers(old: list[Document], new: list[Document], budget: Budget) -> Iterator[Change]:
    """A worker is told by its name, then by what it handles. Its consumer is what counts."""
    pairs, left = _paired(old, new)
    for before, after in pairs:
        if after is None:
            text = f"removed: its consumer {_consumer(before)} keeps messages that nobody handles"
            yield Change(before["name"], "", "", text, "major")
        else:
            yield from _worker(before, after, budget)
    for each in left:
        text = f"added: handles messages on {each['template']!r} of {_consumer(each)}"
        yield Change(each["name"], "", "", text, "minor")


def _worker(old: Document, new: Document, budget: Budget) -> Iterator[Change]:
    name, before, after = new["name"], old["work"], new["work"]
    if old["subject"] != new["subject"]:
        text = f"messages of {old['template']!r} became those of {new['template']!r}"
        yield Change(name, "", "", text, "major")
    if old["name"] != new["name"]:
        text = f"name {old['name']!r} became {new['name']!r}"
        yield Change(name, "", "", text, "minor")
    if _consumer(old) != _consumer(new):
        text = (
            f"consumer {_consumer(old)} became {_consumer(new)}, which begins at the first message "
            f"of its stream: what the old one has handled is handled again; "
            f"durable={before['durable']!r} keeps it"
        )
        yield Change(name, "", "", text, "major")
    if before["dead_letter"] != after["dead_letter"]:
        was, now = (each["dead_letter"] or "nowhere" for each in (before, after))
        yield Change(name, "", "", f"dead letters go to {now!r}, and went to {was!r}", "minor")
    yield from _reading(old, new, budget)


def _consumer(worker: Document) -> str:
    return f"{worker['work']['stream']}/{worker['work']['durable']}"


def _publications(old: list[Document], new: list[Document], budget: Budget) -> Iterator[Change]:
    """Who subscribes to an event reads what is written: as the callers of an endpoint its reply."""
    before = {each["subject"]: each for each in old}
    after = {each["subject"]: each for each in new}
    for subject in before.keys() - after.keys():
        yield Change(subject, "published", "", "no longer published", "major")
    for subject in after.keys() - before.keys():
        yield Change(subject, "published", "", "added", "minor")
    for subject in before.keys() & after.keys():
        one, other = before[subject], after[subject]
        if one["content_type"] != other["content_type"]:
            text = f"content type {one['content_type']!r} became {other['content_type']!r}"
            yield Change(subject, "published", "", text, "minor")
        if one["key"] != other["key"]:
            text = f"key {one['key']!r} became {other['key']!r}: while both versions run, a stream "
            yield Change(subject, "published", "", f"{text}may store an event twice", "minor")
        if one["description"] != other["description"]:
            yield Change(subject, "published", "", "described in other words", "patch")
        payloads = one["payload"], other["payload"]
        if None not in payloads:
            yield from _differences(subject, "published", *payloads, budget, response=True)
        elif payloads != (None, None):
            was, now = ("nothing" if each is None else spelled(each) for each in payloads)
            yield Change(subject, "published", "", f"{was} became {now}", "major")


def _errors(name: str, old: Document, new: Document, budget: Budget) -> Iterator[Change]:
    side = f"error {old['name']}"
    if old["code"] != new["code"]:
        yield Change(name, side, "", f"code {old['code']} became {new['code']}", "major")
    if old["fields"] is not None and new["fields"] is not None:
        yield from _differences(name, side, old["fields"], new["fields"], budget, response=True)
    elif old["fields"] is not None:
        yield Change(name, side, "", "has no fields now", "major")
    elif new["fields"] is not None:
        yield Change(name, side, "", "has fields now", "minor")
    if old["description"] != new["description"]:
        yield Change(name, side, "", "described in other words", "patch")

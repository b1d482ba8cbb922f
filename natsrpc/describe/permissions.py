"""The least that nats-server must allow to serve a contract, to call it, and to look at it.

A contract's document goes in, what to write into the server's configuration comes out: permissions
of users, or exports and imports of accounts. `natsrpc permissions` prints it.

The rules kept here. Nothing is allowed that some kind of call does not need, and nothing is left
out that one needs. A document may come from a service of somebody else: what it names is refused
where it cannot be a subject of a service, and every text is quoted.

Ref: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/authorization
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from natsrpc.errors import ConfigError

ANSWERS = '{ max: -1, expires: "1h" }'
"""`allow_responses` for conversations: no bound of their number, an hour from the first to the last
of one of them. The server's own defaults, one message within two minutes, end every stream."""

_DISCOVERY = ("$SRV.*", "$SRV.*.{name}", "$SRV.*.{name}.*")
_PART = r"(?:[^\x00-\x20\x7f.*>\"\\{}]+|\*)"
_subject = re.compile(rf"(?:{_PART}\.)*(?:{_PART}|>)").fullmatch
_name = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_group = re.compile(r"[^\x00-\x20\x7f*>\"\\]*").fullmatch
_part = re.compile(_PART).fullmatch
_parameter = re.compile(r"\{[^{}]*\}")
_prefix = re.compile(r"[^\x00-\x20\x7f.*>\"\\]+(?:\.[^\x00-\x20\x7f.*>\"\\]+)*").fullmatch


@dataclass(frozen=True, slots=True)
class Inboxes:
    """The `inbox_prefix` of each user: where answers to it arrive, and nobody else may listen.

    Args:
        service: that of the service.
        caller: that of its callers.
        observer: that of those who only look.

    Raises:
        ConfigError: one is no prefix, or covers another.
    """

    service: str
    caller: str
    observer: str

    def __post_init__(self) -> None:
        for role in self.__slots__:
            prefix = getattr(self, role)
            if not isinstance(prefix, str) or not _prefix(prefix):
                raise ConfigError(
                    f"bad inbox prefix {prefix!r} of the {role}: expected tokens joined by dots, "
                    "as in '_INBOX.billing'"
                )
        for role in self.__slots__:
            for other in self.__slots__:
                wide, narrow = getattr(self, role), getattr(self, other)
                if role != other and f"{narrow}.".startswith(f"{wide}."):
                    raise ConfigError(
                        f"the {role} would read what answers the {other}: inbox prefix {wide!r} "
                        f"covers {narrow!r}; give each one of its own"
                    )


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one user may do.

    Attributes:
        subscribe: subjects, each with its queue group behind a blank where there is one.
        publish: subjects.
        allow_responses: whether answers go where a message that came says, and `publish` names no
            inbox of others.
    """

    subscribe: tuple[str, ...]
    publish: tuple[str, ...]
    allow_responses: bool = False

    @property
    def config(self) -> str:
        """The block for a user in nats-server's configuration."""
        lines = [*_allowed("subscribe", self.subscribe), *_allowed("publish", self.publish)]
        if self.allow_responses:
            lines.append(f"  allow_responses: {ANSWERS}")
        return "\n".join(("permissions {", *lines, "}"))

    def plain(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON, which nats-server's configuration may be, too."""
        found: dict[str, Any] = {
            key: list(subjects) or {"deny": ">"}  # an empty list would allow everything
            for key, subjects in (("subscribe", self.subscribe), ("publish", self.publish))
        }
        if self.allow_responses:
            found["allow_responses"] = {"max": -1, "expires": "1h"}
        return found


def permissions(
    contract: Mapping[str, Any], inboxes: Inboxes, *, allow_responses: bool = False
) -> dict[str, Permissions]:
    """Return what each kind of user needs: `service`, `caller`, `publisher` and `observer`.

    `caller` is there if the service has endpoints to call, `publisher` if it has subscribers
    or workers.

    Args:
        contract: the document of a service.
        inboxes: where answers to each of them arrive.
        allow_responses: let answers go where a message says, in place of naming inboxes.

    Raises:
        ConfigError: the document names what cannot be a subject or queue group of a service.
    """
    read = _Contract(contract)
    service, caller = (f"{prefix}.>" for prefix in (inboxes.service, inboxes.caller))
    observer = f"{inboxes.observer}.>"
    answered = (caller, observer) if read.calls else (observer,)
    asks = read.calls or read.works
    found = {
        "service": Permissions(
            _least((*read.listens, *read.discovery, *((service,) if asks else ()))),
            _least((*(() if allow_responses else answered), *read.published, *read.works)),
            allow_responses,
        )
    }
    if read.calls:
        addresses = () if allow_responses else (service,)
        asked = _least((*read.calls, *read.cancels, *addresses))
        found["caller"] = Permissions((caller,), asked, allow_responses)
    if read.events or read.enqueued:  # who enqueues waits for the stream's word
        waits = (caller,) if read.enqueued else ()
        found["publisher"] = Permissions(waits, _least((*read.events, *read.enqueued)))
    found["observer"] = Permissions((observer,), read.discovery)
    return found


def exports(contract: Mapping[str, Any]) -> str:
    """Return what the account of a service exports, for nats-server's configuration.

    Cancels are not among it: a caller in another account cannot name its call.

    Raises:
        ConfigError: as `permissions`.
    """
    read = _Contract(contract)
    services = _least((*read.calls, *read.discovery))
    lines = [f"  {{ service: {_quoted(each)}, response_type: stream }}" for each in services]
    lines += [f"  {{ stream: {_quoted(each)} }}" for each in _least(read.published)]
    return "\n".join(("exports: [", *lines, "]"))


def imports(contract: Mapping[str, Any], account: str) -> str:
    """Return what the account of callers imports, for nats-server's configuration.

    Args:
        contract: the document of a service.
        account: the name of the account that exports.

    Raises:
        ConfigError: the name of the account is none; as `permissions`.
    """
    if not _name(account):
        raise ConfigError(f"bad account {account!r}: expected letters, digits, '-' and '_'")
    read = _Contract(contract)
    kinds = [("service", each) for each in _least((*read.calls, *read.discovery))]
    kinds += [("stream", each) for each in _least(read.published)]
    lines = [
        f"  {{ {kind}: {{ account: {account}, subject: {_quoted(each)} }} }}"
        for kind, each in kinds
    ]
    return "\n".join(("imports: [", *lines, "]"))


def leading_wildcards(contract: Mapping[str, Any]) -> list[str]:
    """Return the subjects of a contract that are no subjects of its own: those that begin with a
    wildcard, so that to allow them is to allow nearly all."""
    read = _Contract(contract)
    subjects = dict.fromkeys((*read.calls, *read.events, *read.enqueued, *read.published))
    return [each for each in subjects if each[0] in "*>" and "._NATSRPC." not in each]


class _Contract:
    """The subjects of a contract's document, by what is done with them."""

    def __init__(self, contract: Mapping[str, Any]) -> None:
        name = contract["name"]
        if not _name(name):
            raise ConfigError(f"bad service name {name!r}: expected letters, digits, '-' and '_'")
        self.listens: list[str] = []
        self.calls: list[str] = []
        self.cancels: list[str] = []
        self.events: list[str] = []
        self.enqueued: list[str] = []
        self.works: list[str] = []
        self.discovery: tuple[str, ...] = tuple(each.format(name=name) for each in _DISCOVERY)
        for endpoint in contract["endpoints"]:
            self._read(endpoint)
        for stream in contract["streams"]:
            self.works += _declared(stream)
        if self.works and self.calls:
            self.works.append("$JS.API.STREAM.LIST")  # to see that none stores a handler's subject
        events = (_parameter.sub("*", each["subject"]) for each in contract["publishes"])
        self.published: list[str] = [_checked(each) for each in events]

    def _read(self, endpoint: Mapping[str, Any]) -> None:
        subject, group = _checked(endpoint["subject"]), endpoint["queue_group"]
        if not _group(group) or not group.isprintable():
            raise ConfigError(f"bad queue group {group!r} of endpoint {endpoint['name']!r}")
        if endpoint["kind"] == "worker":
            self.enqueued.append(subject)
            self.works += _work(endpoint)
            self.listens.append(_mates(endpoint))
            return
        grouped = f" {group}" if group else ""
        self.listens.append(subject + grouped)
        if endpoint["kind"] == "event":
            self.events.append(subject)
            return
        self.calls.append(subject)
        if subject.endswith(">"):  # which covers what follows; a service subscribes nothing else
            return
        large, cancel = f"{subject}._NATSRPC.large", f"{subject}._NATSRPC.cancel"
        self.listens.append(cancel)
        if endpoint["kind"] != "unary":
            return
        self.cancels.append(cancel)
        if group:
            self.listens.append(large + grouped)
            if endpoint["request"] is not None:
                self.calls.append(large)


def _declared(stream: str) -> tuple[str, ...]:
    """What a service publishes that makes a stream which it declares, or compares it."""
    _check_asset(stream)
    return f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.CREATE.{stream}"


def _work(endpoint: Mapping[str, Any]) -> Iterator[str]:
    """What a worker publishes: it asks for its stream and its consumer, and says what became of
    each message."""
    work = endpoint["work"]
    stream, durable, dead = work["stream"], work["durable"], work["dead_letter"]
    _check_asset(stream)
    _check_asset(durable)
    yield f"$JS.API.STREAM.INFO.{stream}"
    yield f"$JS.API.CONSUMER.INFO.{stream}.{durable}"
    yield f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.{endpoint['subject']}"
    yield f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
    yield f"$JS.ACK.{stream}.{durable}.>"
    yield f"$JS.ACK.*.*.{stream}.{durable}.>"
    yield _mates(endpoint)
    if dead:
        yield "$JS.API.STREAM.NAMES"
        yield _checked(dead)


def _mates(worker: Mapping[str, Any]) -> str:
    """Where the processes of a worker tell each other what they have."""
    return f"_NATSRPC.work.{worker['work']['stream']}.{worker['work']['durable']}"


def _check_asset(name: str) -> None:
    if not _part(name) or name == "*":  # a wildcard would allow it with the streams of others
        raise ConfigError(f"bad name {name!r} of a stream or consumer in this contract")


def _checked(subject: str) -> str:
    foreign = subject.startswith(("$", "_INBOX.")) or "_NATSRPC" in subject
    if foreign or not _subject(subject) or not subject.isprintable():
        raise ConfigError(
            f"this contract names {subject!r}, which no service serves or publishes: expected "
            "tokens joined by dots, neither of the server ('$…') nor of an inbox ('_INBOX.…')"
        )
    return subject


def _least(entries: Iterable[str]) -> tuple[str, ...]:
    """The entries without those that another one covers, in their order.

    An entry with a queue group is covered by one with the same group alone: one without would
    allow to listen to what others are asked.
    """
    found = list(dict.fromkeys(entries))
    return tuple(
        each for each in found if not any(other != each and _covers(other, each) for other in found)
    )


def _covers(wide: str, narrow: str) -> bool:
    (wide, _, group), (narrow, _, own) = wide.partition(" "), narrow.partition(" ")
    if group != own:
        return False
    wanted, given = narrow.split("."), wide.split(".")
    for place, part in enumerate(given):
        if part == ">":
            return len(wanted) > place
        if place >= len(wanted) or wanted[place] == ">":
            return False
        if part not in ("*", wanted[place]):
            return False
    return len(wanted) == len(given)


def _allowed(what: str, subjects: Iterable[str]) -> list[str]:
    lines = [f"    {_quoted(each)}" for each in subjects]
    # an empty list would allow everything
    return [f"  {what}: [", *lines, "  ]"] if lines else [f'  {what}: {{ deny: ">" }}']


def _quoted(text: str) -> str:
    return f'"{text}"'

"""`describe.permissions`: what it names is enough for all that is done with a service, and least.

Both are shown on a real server: with all lines every wish is granted, and without any one of them
some wish is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import natsrpc
from natsrpc.describe import (
    Inboxes,
    Permissions,
    document,
    exports,
    imports,
    leading_wildcards,
    permissions,
    read_document,
)
from natsrpc.server import NatsServer

from .least import DOCUMENT, DOES_WITHOUT, INBOXES, START, WISHES, config, refused

LEAST = permissions(DOCUMENT, INBOXES)
RESPONSES = permissions(DOCUMENT, INBOXES, allow_responses=True)

SERVICE = {
    "calc.do.* q": START,
    "calc.do.*._NATSRPC.cancel": "cancel",
    "calc.do.*._NATSRPC.large q": "large_request",
    "calc.count q": START,
    "calc.count._NATSRPC.cancel": DOES_WITHOUT,
    "calc.who": START,
    "calc.who._NATSRPC.cancel": "cancel",
    "calc.asked.* calc.note": START,
    "$SRV.*": "find_all",
    "$SRV.*.calc": "find_by_name",
    "$SRV.*.calc.*": "find_by_id",
    "_INBOX.calc.>": "large_reply",
}
CALLER = {
    "calc.do.*": "call",
    "calc.do.*._NATSRPC.large": "large_request",
    "calc.do.*._NATSRPC.cancel": "cancel",
    "calc.count": "stream",
    "calc.who": "gather",
    "calc.who._NATSRPC.cancel": "cancel",
    "_INBOX.calc.>": "large_reply",
}
WITHOUT: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "service": (
        SERVICE,
        {
            "_INBOX.caller.>": "call",
            "_INBOX.observer.>": "find_all",
            "calc.done.*": "published",
        },
    ),
    "caller": ({"_INBOX.caller.>": "call"}, CALLER),
    "publisher": ({}, {"calc.asked.*": "event"}),
    "observer": (
        {"_INBOX.observer.>": "find_all"},
        {"$SRV.*": "find_all", "$SRV.*.calc": "find_by_name", "$SRV.*.calc.*": "find_by_id"},
    ),
}
"""By user, what is refused without each line of `subscribe`, and of `publish`."""

LINES = [
    (role, side, line)
    for role, sides in WITHOUT.items()
    for side, lines in zip(("subscribe", "publish"), sides, strict=True)
    for line in lines
]


def users(given: dict[str, Permissions], **other: Permissions) -> dict[str, Permissions]:
    """The users of a configuration; the service's is called as it is."""
    named = {**given, **other}
    return {"calc": named.pop("service"), **named}


def test_each_line_is_known() -> None:
    found = {role: (set(each.subscribe), set(each.publish)) for role, each in LEAST.items()}
    assert found == {role: (set(heard), set(said)) for role, (heard, said) in WITHOUT.items()}


@pytest.mark.live
@pytest.mark.parametrize("given", [LEAST, RESPONSES], ids=["named", "allow_responses"])
async def test_they_are_enough_for_all_that_is_done(given: dict[str, Permissions]) -> None:
    assert await refused(config(users(given)), patience=20) == {}


@pytest.mark.live
@pytest.mark.parametrize(("role", "side", "line"), LINES)
async def test_without_any_one_line_something_is_refused(role: str, side: str, line: str) -> None:
    own = LEAST[role]
    left = tuple(each for each in getattr(own, side) if each != line)
    less = Permissions(*((left, own.publish) if side == "subscribe" else (own.subscribe, left)))
    expected = WITHOUT[role][side == "publish"][line]
    assert expected in await refused(config(users(LEAST, **{role: less})), patience=0.5)


@pytest.mark.live
@pytest.mark.parametrize(("role", "wish"), [("service", "call"), ("caller", "large_reply")])
async def test_without_allow_responses_something_is_refused(role: str, wish: str) -> None:
    less = dataclasses.replace(RESPONSES[role], allow_responses=False)
    assert wish in await refused(config(users(RESPONSES, **{role: less})), patience=0.5)


@pytest.mark.live
async def test_nobody_may_listen_to_what_others_are_asked() -> None:
    with NatsServer(config(users(LEAST))) as server:
        for user in ("calc", "caller", "publisher", "observer"):
            async with natsrpc.core.connect(server.url, user=user, password="p") as connection:
                for subject in ("calc.>", "calc.do.*", "_INBOX.>", ">", "$SRV.*.other"):
                    sub = await connection.subscribe(subject)
                    with pytest.raises(natsrpc.PermissionsError, match=r"for Subscription"):
                        await sub.next_msg(10)


def test_a_publisher_alone_may_listen_to_nothing() -> None:
    found = LEAST["publisher"]
    assert (
        found.config
        == 'permissions {\n  subscribe: { deny: ">" }\n  publish: [\n    "calc.asked.*"\n  ]\n}'
    )
    assert found.plain() == {"subscribe": {"deny": ">"}, "publish": ["calc.asked.*"]}


def test_a_service_without_endpoints_needs_no_inbox_and_has_no_callers() -> None:
    service = natsrpc.Service("billing", version="1.0.0")

    @service.subscriber("shop.{region}.placed")
    async def bill(event: int) -> None: ...

    found = permissions(document(service.contract), INBOXES)
    assert list(found) == ["service", "publisher", "observer"]
    assert found["service"].subscribe[0] == "shop.*.placed billing.bill"
    assert found["service"].publish == ("_INBOX.observer.>",)
    assert not any(each.startswith("_INBOX") for each in found["service"].subscribe)


def contract(*subjects: str, **fields: Any) -> dict[str, Any]:
    endpoints = [
        {"name": f"e{place}", "subject": subject, "queue_group": "q", "request": {}, **fields}
        for place, subject in enumerate(subjects)
    ]
    return read_document({"name": "wide", "version": "1.0.0", "endpoints": endpoints})


def test_what_another_line_covers_is_left_out() -> None:
    found = permissions(contract("files.>", "files.*", "files.get"), INBOXES)
    assert found["caller"].publish == ("files.>", "_INBOX.calc.>")
    assert found["service"].subscribe[:3] == ("files.> q", "files.*._NATSRPC.cancel", "$SRV.*")


@pytest.mark.parametrize(
    ("subjects", "fields"),
    [
        (("$SYS.REQ.>",), {}),
        (("_INBOX.>",), {}),
        (('a" ]  publish: ">',), {}),
        (("a\nb",), {}),
        (("a\x9bm",), {}),
        (("a\u202eb",), {}),
        (("a..b",), {}),
        (("a._NATSRPC.cancel",), {}),
        (("a",), {"queue_group": '>"'}),
        (("a",), {"queue_group": "a b"}),
    ],
)
def test_what_a_foreign_contract_may_not_name_is_refused(
    subjects: tuple[str, ...], fields: dict[str, Any]
) -> None:
    for read in (
        lambda found: permissions(found, INBOXES),
        exports,
        lambda found: imports(found, "A"),
    ):
        with pytest.raises(natsrpc.ConfigError, match=r"contract names|bad queue group"):
            read(contract(*subjects, **fields))


def test_a_name_that_is_none_is_refused() -> None:
    found = {**contract("a"), "name": "a.>"}
    with pytest.raises(natsrpc.ConfigError, match=r"bad service name 'a\.>'"):
        permissions(found, INBOXES)


def test_subjects_that_are_nearly_everything_are_told() -> None:
    assert leading_wildcards(contract(">", "*.get", "calc.add")) == [">", "*.get"]


@pytest.mark.parametrize("prefix", ["", "_INBOX.>", "_INBOX.*", "a b", "a..b", 'a"'])
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    with pytest.raises(natsrpc.ConfigError, match=r"bad inbox prefix .* of the caller"):
        Inboxes("_INBOX.calc", prefix, "_INBOX.observer")


@pytest.mark.parametrize("prefix", ["_INBOX", "_INBOX.caller"])
def test_an_inbox_that_covers_another_is_refused(prefix: str) -> None:
    with pytest.raises(natsrpc.ConfigError, match=r"would read what answers the"):
        Inboxes("_INBOX.calc", "_INBOX.caller", prefix)


@pytest.mark.live
async def test_exports_and_imports_let_all_of_it_through() -> None:
    text = f"""accounts {{
      CALC: {{ users: [{{ user: w, password: p }}], {exports(DOCUMENT)} }}
      SHOP: {{ users: [{{ user: c, password: p }}], {imports(DOCUMENT, "CALC")} }}
    }}"""
    logins = {"calc": "w", "publisher": "w", "caller": "c", "observer": "c", "admin": "c"}
    wishes = [wish for wish in WISHES if wish != "cancel"]  # no caller of them can name its call
    assert await refused(text, 20, logins, wishes) == {}


@pytest.mark.parametrize("account", ["", "A B", "A]"])
def test_an_account_that_is_none_is_refused(account: str) -> None:
    with pytest.raises(natsrpc.ConfigError, match="bad account"):
        imports(DOCUMENT, account)

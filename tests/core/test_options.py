"""Settings: their defaults, and what is refused before anything is dialed."""

from __future__ import annotations

import ast
import gc
import inspect
import math
import ssl
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from natsrpc.core import Connection, ConnectOptions, Options, Subscription, connect
from natsrpc.core.options import MAX_NAME
from natsrpc.errors import ConfigError, ConfigTypeError, ProtocolError
from tests.core.harness import ScriptedServer, no_leaks

SECRET = "hunter2-very-secret"


def one(*_: object) -> Any:
    raise AssertionError("never called")


@pytest.mark.parity("C3")
def test_the_defaults_are_those_of_the_go_client_but_for_the_keepalive() -> None:
    options = Options()
    expected = {
        "servers": "nats://127.0.0.1:4222",
        "randomize_servers": True,
        "allow_reconnect": True,
        "max_reconnect_attempts": 60,
        "reconnect_wait": 2.0,
        "reconnect_jitter": 0.1,
        "reconnect_jitter_tls": 1.0,
        "reconnect_buffer_size": 8_388_608,
        "connect_timeout": 2.0,
        "ping_interval": 15.0,
        "max_pings_out": 2,
        "drain_timeout": 30.0,
        "write_timeout": 60.0,
        "echo": True,
        "tls_verify": True,
        "lame_duck_reconnect": True,
        "inbox_prefix": "_INBOX",
        "max_message_size": 64 * 1024 * 1024,
        "name": "",
    }
    assert {name: getattr(options, name) for name in expected} == expected
    others = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in expected}
    assert not any(others.values())


@pytest.mark.parity("C4")
def test_zero_means_the_default_where_the_go_client_has_it_so() -> None:
    options = Options(reconnect_buffer_size=0, max_pings_out=0)
    assert options.reconnect_buffer_size == 8_388_608
    assert options.max_pings_out == 2
    assert Options(reconnect_buffer_size=-1).reconnect_buffer_size == -1


@pytest.mark.parity("C4")
async def test_a_connection_takes_ready_made_options_and_shows_them_read_only() -> None:
    async with ScriptedServer() as server:
        options = Options(servers=server.url, name="ready-made")
        async with connect(options=options) as nc:
            assert nc.options is options
            assert (await server.accept()).frames[0].options["name"] == "ready-made"
            with pytest.raises(FrozenInstanceError):
                nc.options.name = "other"  # type: ignore[misc]  # that is the point


async def test_options_and_keyword_arguments_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        await connect(options=Options(), name="x")


async def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigTypeError, match=r"'reconect_wait'; did you mean 'reconnect_wait'\?"):
        await connect(reconect_wait=1)  # type: ignore[call-arg]  # that is the point
    for unknown, known in {
        "nmae": "name",
        "servrs": "servers",
        "inboxprefix": "inbox_prefix",
        "on_closed": "on_close",
        "max_reconnects": "max_reconnect_attempts",
        "pasword": "password",
        "tls_cafile": "tls_ca",
    }.items():
        with pytest.raises(ConfigTypeError, match=rf"'{unknown}'; did you mean '{known}'\?"):
            Options.of({unknown: 1})
    with pytest.raises(ConfigTypeError, match=r"unknown connect option 'xyzzy'$"):
        await connect(xyzzy=1)  # type: ignore[call-arg]  # that is the point


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: an exception that is found in it is logged, its traceback is
    parsed, and a Python that parses already (3.11.7) takes that for an error of its own."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def documented(class_: type) -> dict[str, str]:
    """The string behind each field in the source of a class, by the field's name."""
    with no_collection():
        body = ast.parse(inspect.getsource(class_)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        ast.unparse(field.target): doc.value.value
        for field, doc in pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }


def test_type_checkers_are_told_what_is_checked_at_run_time() -> None:
    """Callbacks aside: only `ConnectOptions` knows the classes of what they get."""
    checked, told = typing.get_type_hints(Options), typing.get_type_hints(ConnectOptions)
    assert list(told) == [name for name in checked if name != "servers"]
    assert ConnectOptions.__required_keys__ == frozenset()
    for name, hint in told.items():
        if name.startswith("on_"):
            callback, nothing = typing.get_args(hint)
            arguments, result = typing.get_args(callback)
            assert (arguments[0], result, nothing) == (Connection, object, NoneType)
            ours = (Connection, Subscription | None)
            unnamed: Any = [Any if each in ours else each for each in arguments]
            hint = Callable[unnamed, object] | None
        assert checked[name] == hint, name


def test_each_option_has_a_line_of_its_own_that_says_the_same_in_both() -> None:
    ours, theirs = documented(Options), documented(ConnectOptions)
    assert list(ours) == [field.name for field in fields(Options)]
    assert theirs == {name: doc for name, doc in ours.items() if name != "servers"}


BAD_NUMBERS = [
    *((name, value) for name in ("connect_timeout", "drain_timeout", "write_timeout")
      for value in (0, -1, math.nan)),
    ("max_message_size", 0),
    *((name, value) for name in ("reconnect_wait", "reconnect_jitter", "reconnect_jitter_tls")
      for value in (-0.1, math.nan, math.inf)),
    ("ping_interval", math.nan),
    ("max_pings_out", -1),
]  # fmt: skip


@pytest.mark.parity("C8", "E18")
@pytest.mark.parametrize(("option", "value"), BAD_NUMBERS)
def test_a_number_out_of_range_is_refused_and_quoted(option: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Options.of({option: value})
    assert option in str(caught.value)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, ValueError)


BAD_TYPES: list[tuple[str, object]] = [
    ("connect_timeout", "2"),
    ("connect_timeout", True),
    ("connect_timeout", None),
    ("ping_interval", "never"),
    ("max_reconnect_attempts", 1.5),
    ("max_reconnect_attempts", True),
    ("reconnect_buffer_size", "8M"),
    ("verbose", 1),
    ("echo", "no"),
    ("tls_verify", 0),
    ("name", 5),
    ("inbox_prefix", b"_INBOX"),
    ("tls", "yes"),
    ("tls_hostname", 5),
    ("tls_ca", 5),
    ("tls_ca", []),
    ("tls_ca", [5]),
    ("on_error", "print"),
    ("reconnect_delay_cb", 2.0),
    ("dialer", "socks5://x"),
]


@pytest.mark.parity("E18")
@pytest.mark.parametrize(("option", "value"), BAD_TYPES)
def test_a_value_of_the_wrong_type_is_refused_and_quoted(option: str, value: object) -> None:
    with pytest.raises(ConfigTypeError) as caught:
        Options.of({option: value})
    assert option in str(caught.value)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", ["", "a b", "a.*", "a.>", "a.", ".a", "a\r\nPUB x", "$me"])
@pytest.mark.parity("I3")
def test_an_inbox_prefix_that_is_no_subject_is_refused_and_quoted(value: str) -> None:
    with pytest.raises((ConfigError, ProtocolError)) as caught:
        Options(inbox_prefix=value)
    assert repr(value) in str(caught.value)


def test_a_number_too_large_for_a_clock_is_refused() -> None:
    with pytest.raises(ConfigError, match="connect_timeout must be a number of seconds"):
        Options(connect_timeout=10**400)


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"password": "p"}, "password needs a user"),
    ({"user": "u", "user_info": one}, "user and user_info"),
    ({"nkey_seed": "S", "credentials": "c"}, "nkey_seed and credentials"),
    ({"tls": False, "tls_ca": "ca.pem"}, "tls=False contradicts tls_ca"),
    ({"tls": False, "tls_cert": ("c", "k")}, "tls=False contradicts tls_cert"),
    ({"tls": False, "tls_verify": False}, "tls=False contradicts tls_verify=False"),
    ({"tls": False, "tls_handshake_first": True}, "tls=False contradicts tls_handshake_first"),
    ({"tls": False, "tls_hostname": "h"}, "tls=False contradicts tls_hostname"),
    ({"tls_hostname": ""}, "tls_hostname"),
]


@pytest.mark.parity("A10", "T2", "E18")
@pytest.mark.parametrize(("values", "told"), CONTRADICTIONS)
def test_options_that_contradict_each_other_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Options(**values)


@pytest.mark.parity("T2")
@pytest.mark.parametrize(
    "details", [{"tls_ca": "ca.pem"}, {"tls_cert": ("c", "k")}, {"tls_verify": False}]
)
def test_a_context_of_ones_own_contradicts_what_it_would_say_itself(
    details: dict[str, Any],
) -> None:
    context = ssl.create_default_context()
    with pytest.raises(ConfigError, match=f"contradicts {next(iter(details))}"):
        Options(tls=context, **details)
    assert Options(tls=context, tls_hostname="db", tls_handshake_first=True).tls is context


WRONG_IDENTITIES: list[tuple[str, object]] = [
    ("user", SECRET.encode()),
    ("password", SECRET.encode()),
    ("token", SECRET.encode()),
    ("user_info", SECRET),
    ("user_info", ("user", SECRET)),
    ("nkey_seed", SECRET.encode()),
    ("credentials", SECRET.encode()),
    ("credentials", (SECRET,)),
    ("tls_cert", SECRET),
    ("tls_cert", (SECRET,)),
    ("tls_cert", (SECRET, 5)),
]


@pytest.mark.parametrize(("option", "value"), WRONG_IDENTITIES)
def test_a_secret_of_the_wrong_type_is_refused_unquoted(option: str, value: object) -> None:
    more = {"user": "u"} if option == "password" else {}
    with pytest.raises(ConfigTypeError, match=f"^{option} must be ") as caught:
        Options.of({option: value, **more})
    assert SECRET not in str(caught.value)


def test_identities_may_be_texts_paths_pairs_and_functions() -> None:
    for option, values in {
        "token": ["t", one],
        "nkey_seed": ["seed", Path("seed"), one],
        "credentials": ["x.creds", Path("x.creds"), ("jwt", "seed"), ("jwt", one), one],
    }.items():
        for value in values:
            assert Options.of({option: value}).has_credentials
    assert Options(user_info=one).has_credentials
    assert Options(user="u").has_credentials
    assert not Options(tls=True, name="n").has_credentials


def test_a_name_that_fills_the_line_it_is_sent_on_is_refused() -> None:
    assert Options(name="n" * MAX_NAME).name
    for name in ("n" * (MAX_NAME + 1), "\u00e9" * (MAX_NAME // 2 + 1)):
        with pytest.raises(ConfigError, match=f"name must take at most {MAX_NAME} bytes"):
            Options(name=name)


def test_repr_shows_what_was_set_and_no_secret() -> None:
    options = Options(
        servers=f"nats://user:{SECRET}@host",
        first_server=f"nats://{SECRET}@host",
        name="shown",
        user="u",
        password=SECRET,
        token=SECRET,
        credentials=(SECRET, SECRET),
        reconnect_wait=7,
    )
    shown = repr(options)
    assert SECRET not in shown
    assert "name='shown'" in shown
    assert "reconnect_wait=7" in shown
    assert "password='***'" in shown
    assert "echo" not in shown
    assert SECRET not in repr(Options(nkey_seed=SECRET)) + str(
        Options(user_info=lambda: ("u", SECRET))
    )


@pytest.mark.parity("C1")
async def test_nothing_is_dialed_when_a_setting_is_refused(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"connect_timeout": 0},
        {"tls_ca": tmp_path / "missing.pem"},
        {"tls_cert": (tmp_path / "c.pem", tmp_path / "k.pem")},
        {"credentials": tmp_path / "missing.creds"},
        {"nkey_seed": tmp_path / "missing.nk"},
        {"nkey_seed": "SUAIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII"[:58]},
        {"user": "u", "user_info": one},
        {"first_server": "http://x"},
        {"inbox_prefix": "a b"},
        {"on_close": 5},
    ]
    async with no_leaks(), ScriptedServer() as server:
        for values in bad:
            with pytest.raises((ConfigError, ProtocolError)):
                await connect(server.url, **values)
        with pytest.raises(ConfigError):
            await connect([server.url, "tls://x"], tls=False)
        assert server.peers == []

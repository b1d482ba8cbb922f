"""The pool: URLs as users write them, the order of attempts, what gossip adds, and how long to
wait."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core import Options
from natsrpc.core.servers.pool import (
    PoolServer,
    ServerPool,
    is_address,
    is_loopback,
    parse_server,
)
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    ConfigError,
    ConfigTypeError,
    ConnectError,
)

SECRET = "s3cr3t-pass"


def pool(servers: Any = "", **options: Any) -> ServerPool:
    options.setdefault("randomize_servers", False)
    return ServerPool(Options(servers=servers, **options), random.Random(7))


def hosts(pool: ServerPool) -> list[str]:
    return [server.host_port for server in pool.servers]


GOOD_URLS = [
    ("nats://host:4222", "nats://host:4222"),
    ("host:4222", "nats://host:4222"),
    ("host", "nats://host:4222"),
    ("nats://host", "nats://host:4222"),
    ("nats://host/", "nats://host:4222"),
    ("NATS://HOST:1", "nats://host:1"),
    ("  nats://host:4222  ", "nats://host:4222"),
    ("tls://host", "tls://host:4222"),
    ("127.0.0.1:7", "nats://127.0.0.1:7"),
    ("[::1]:7", "nats://[::1]:7"),
    ("nats://[fe80::1]", "nats://[fe80::1]:4222"),
    ("nats://host:", "nats://host:4222"),
]


@pytest.mark.parity("C2")
@pytest.mark.parametrize(("given", "address"), GOOD_URLS)
def test_a_url_may_lack_scheme_and_port(given: str, address: str) -> None:
    server = parse_server(given)
    assert server.address == server.url == address
    assert not server.has_credentials


@pytest.mark.parity("C2")
@pytest.mark.parametrize("nothing", ["", "  ", ",", " , ,", [], [""], ()])
def test_no_server_means_the_default_one(nothing: Any) -> None:
    assert pool(nothing).addresses() == ["nats://127.0.0.1:4222"]


@pytest.mark.parity("C1", "C5")
def test_servers_come_as_one_text_or_as_a_sequence() -> None:
    expected = ["a:4222", "b:1", "c:4222"]
    assert hosts(pool("a, nats://b:1 ,,c")) == expected
    assert hosts(pool(["a,b:1", " nats://c "])) == expected
    assert hosts(pool(("a", "b:1", "c", "a:4222"))) == expected


@pytest.mark.parity("A1")
@pytest.mark.parametrize(
    ("info", "fields"),
    [
        ("user:pass@", ("user", "pass", None)),
        ("us%40er:p%3Aa%2Fss@", ("us@er", "p:a/ss", None)),
        ("user:@", ("user", "", None)),
        ("user:a:b@", ("user", "a:b", None)),
        ("to%2Bken@", (None, None, "to+ken")),
        ("user:p@ss@", ("user", "p@ss", None)),
        ("@", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_credentials_of_a_url_are_decoded(info: str, fields: tuple[str | None, ...]) -> None:
    server = parse_server(f"nats://{info}host:1")
    assert (server.user, server.password, server.token) == fields
    assert server.has_credentials is (fields != (None, None, None))
    assert server.address == "nats://host:1"
    assert server.url == ("nats://***@host:1" if server.has_credentials else "nats://host:1")


BAD_URLS = [
    ("http://host", "expected the scheme nats, tls, ws or wss"),
    ("ws://", "expected ws://host:port/path"),
    ("wss://host/path#x", "expected wss://host:port/path"),
    ("ws://host:0/path", "expected ws://host:port/path"),
    ("ws://host/p\xe4th", "expected ws://host:port/path"),
    ("ws://host:x/path", "the port a number"),
    ("nats://", "expected nats://host:port"),
    ("nats://:4222", "expected nats://host:port"),
    ("nats://host:0", "expected nats://host:port"),
    ("nats://host:65536", "the port a number"),
    ("nats://host:x", "the port a number"),
    ("nats://host:4222/path", "expected nats://host:port"),
    ("nats://host?tls=1", "expected nats://host:port"),
    ("nats://host#x", "expected nats://host:port"),
    ("nats://[::1", "the port a number"),
    ("nats://ho st", "blanks or control characters"),
    ("nats://ho\r\nst", "blanks or control characters"),
    ("nats://ho\tst", "blanks or control characters"),
    ("nats://ho\x00st", "blanks or control characters"),
]


@pytest.mark.parity("C2")
@pytest.mark.parametrize(("url", "told"), BAD_URLS)
def test_what_is_no_url_of_a_server_is_refused_and_quoted(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        pool(url)
    assert repr(url)[:9] in str(caught.value)


@pytest.mark.parametrize("value", [5, None, b"nats://u:s3cr3t-pass@h", [5], [b"s3cr3t-pass@h"]])
def test_servers_of_the_wrong_type_are_refused(value: Any) -> None:
    with pytest.raises(ConfigTypeError, match="must be a str") as caught:
        pool(value)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigTypeError, match="must be a str"):
        pool("a", first_server=5)


MISTAKES = [
    "http://user:{}@host",
    "nats://user:{}@host:port",
    "nats://user:{}@ho st",
    "nats://user:{}/x@host",
    "nats://user:x/{}@host",
    "nats://user:x#{}@host",
    "nats://user:x?{}@host",
    "nats://user:x,{}@host/path",
    "nats://user:{},x@host",
    "nats://user:{}",
    "user:{}",
    "nats://host?password={}",
    "nats://host#{}",
    "nats://host/{}",
    "{}@host:x",
    "ws://{}/x@host",
    "wss://user:{}/x@host",
    "ws://host#{}",
    "nats://[{}@host",
    "nats://to,{}@host",
    "nats://{},ken@host",
    "nats://to,ke,{}@host",
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistyped_url_is_refused_without_its_password(mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pool(mistake.format(SECRET))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "mistake", ["to,ken@h", "u:p/x@h", "u:p?x@h", "u:p#x@h", "u:p,x@h", "u:1/x@h"]
)
def test_a_password_that_breaks_the_url_is_told_how_to_be_written(mistake: str) -> None:
    with pytest.raises(ConfigError, match="percent-encoded: %2F for /"):
        pool(f"nats://{mistake}")
    assert parse_server("nats://u:p%2Fx%2C%40@h").password == "p/x,@"


@given(st.text(max_size=40))
def test_any_text_is_a_server_or_a_config_error(text: str) -> None:
    try:
        server = parse_server(text)
    except ConfigError:
        return
    assert server.host
    assert 0 < server.port < 65536


def test_a_server_shows_no_credentials() -> None:
    for info in (f"user:{SECRET}", SECRET):
        server = parse_server(f"nats://{info}@host")
        assert SECRET not in repr(server) + server.url + server.address


@pytest.mark.parity("C5")
def test_the_pool_is_shuffled_once_behind_the_first_server() -> None:
    names = [f"s{n}:4222" for n in range(20)]
    shuffled = ServerPool(Options(servers=names), random.Random(1))
    assert hosts(shuffled) != names
    assert sorted(hosts(shuffled)) == sorted(names)
    first = ServerPool(Options(servers=names, first_server="s9"), random.Random(1))
    assert hosts(first)[0] == "s9:4222"
    assert sorted(hosts(first)) == sorted(names)
    assert hosts(pool(names, first_server="other:1")) == ["other:1", *names]
    assert hosts(pool(names)) == names


def test_the_first_server_keeps_the_credentials_of_its_url_in_the_list() -> None:
    listed = ["a", "nats://user:pw@b"]
    assert pool(listed, first_server="b").servers[0].user == "user"
    assert pool(listed, first_server="nats://tok@b").servers[0].token == "tok"


@pytest.mark.parity("T3")
def test_one_tls_url_makes_all_of_the_pool_tls() -> None:
    mixed = pool("a,tls://b,nats://c")
    assert mixed.addresses() == ["tls://a:4222", "tls://b:4222", "tls://c:4222"]
    assert mixed.scheme == "tls"
    assert pool("a", first_server="tls://z").addresses() == ["tls://z:4222", "tls://a:4222"]


# what gossip adds


@pytest.mark.parity("D1", "D2")
def test_gossip_is_host_and_port_and_nothing_else() -> None:
    known = pool("a")
    fresh = known.update(
        ["b:1", "[::1]:2", "c", "c:x", ":3", "nats://d:4", "u:p@e:5", "f:6/g", "h:7,i:8", "j:0",
         "k:99999", "", "a:4222", "b:1"],
        via=known.servers[0],
    )  # fmt: skip
    assert [s.host_port for s in fresh] == ["b:1", "[::1]:2"]
    assert known.addresses(discovered=True) == ["nats://b:1", "nats://[::1]:2"]


@pytest.mark.parity("A4")
def test_a_discovered_server_gets_the_credentials_of_the_url_it_came_through() -> None:
    known = pool("nats://user:pw@a")
    (b,) = known.update(["b:1"], via=known.servers[0])
    assert (b.user, b.password, b.token) == ("user", "pw", None)
    (c,) = known.update(["b:1", "c:1"], via=b)
    assert (c.user, c.password) == ("user", "pw")
    known = pool("nats://tok@a")
    (b,) = known.update(["b:1"], via=known.servers[0])
    assert b.token == "tok"


@pytest.mark.parity("A4")
@pytest.mark.parametrize(
    "who",
    [{"user": "u", "password": "p"}, {"token": "t"}, {"credentials": "x"}, {"user_info": hosts}],
)
def test_credentials_in_the_options_are_those_of_discovered_servers(who: dict[str, Any]) -> None:
    known = pool("nats://user:pw@a", **who)
    (b,) = known.update(["b:1"], via=known.servers[0])
    assert not b.has_credentials


@pytest.mark.parity("T8")
def test_a_gossiped_address_is_verified_by_the_name_first_dialed() -> None:
    known = pool("tls://db.example")
    b, c = known.update(["10.0.0.1:1", "other:1"], via=known.servers[0])
    assert (b.tls_name, c.tls_name, b.scheme) == ("db.example", "db.example", "tls")
    (d,) = known.update(["10.0.0.1:1", "other:1", "10.0.0.2:1"], via=b)
    assert d.tls_name == "db.example"
    known = pool("tls://10.0.0.1")
    (b,) = known.update(["10.0.0.2:1"], via=known.servers[0])
    assert b.tls_name is None


def test_from_before_tls_only_servers_verified_by_a_name_of_the_users_are_believed() -> None:
    gossip = ["10.0.0.9:1", "evil.example:1"]

    def believed(servers: str, **options: Any) -> list[str]:
        known = pool(servers, **options)
        fresh = known.update(gossip, via=known.servers[0], is_authentic=False)
        return [s.host for s in fresh]

    assert believed("tls://db.example") == ["10.0.0.9"]
    assert believed("tls://10.0.0.1") == []
    assert believed("tls://10.0.0.1", tls_hostname="db.example") == ["10.0.0.9", "evil.example"]


def test_the_pool_has_a_cap() -> None:
    known = pool("a")
    known.update([f"10.0.{n // 250}.{n % 250}:1" for n in range(2000)], via=known.servers[0])
    assert len(known.servers) == 1000


@pytest.mark.parity("D2")
def test_discovered_servers_no_longer_named_go_except_the_current_one() -> None:
    known = pool("a")
    a = known.servers[0]
    b, _ = known.update(["b:1", "c:1"], via=a)
    known.succeeded(b)
    assert known.update([], via=b) == []
    assert hosts(known) == ["a:4222", "b:1", "c:1"]
    known.update(["d:1"], via=b)
    assert hosts(known) == ["a:4222", "b:1", "d:1"]
    known.current = a
    known.update(["d:1"], via=a)
    assert hosts(known) == ["a:4222", "d:1"]


@pytest.mark.parity("D2", "D3")
def test_a_server_that_came_back_is_new_to_nobody_and_keeps_its_count() -> None:
    known = pool("a")
    (b,) = known.update(["b:1"], via=known.servers[0])
    b.attempts = 3
    assert known.update(["b:1"], via=known.servers[0]) == []
    assert known.servers[1].attempts == 3


# attempts


def test_a_server_that_failed_goes_to_the_tail_and_out_when_it_is_spent() -> None:
    known = pool("a,b", max_reconnect_attempts=2)
    a = known.servers[0]
    a.attempts = 1
    known.failed(a)
    assert hosts(known) == ["b:4222", "a:4222"]
    a.attempts = 2
    known.failed(a)
    assert hosts(known) == ["b:4222"]
    known.failed(a)
    endless = pool("a", max_reconnect_attempts=-1)
    endless.servers[0].attempts = 10**6
    endless.failed(endless.servers[0])
    assert hosts(endless) == ["a:4222"]


def test_the_count_of_attempts_is_the_addresss_and_outlives_the_pool() -> None:
    known = pool("a,b", max_reconnect_attempts=2)
    a, b = known.servers
    a.attempts, a.last_auth_error = 2, AuthorizationError
    known.failed(a)
    assert known.update(["a:4222", "c:1"], via=b) != []
    assert hosts(known) == ["b:4222", "c:1"]  # spent: it is not tried on, whoever names it
    c = known.servers[1]
    c.attempts, c.last_auth_error = 1, AuthorizationError
    known.update(["d:1"], via=b)
    (again,) = known.update(["c:1"], via=b)  # it was not named for a while
    assert (again.attempts, again.last_auth_error) == (1, AuthorizationError)
    known.succeeded(b)
    (fresh,) = known.update(["a:4222", "c:1"], via=b)  # a server that we are connected to knows it
    assert (fresh.host_port, fresh.attempts) == ("a:4222", 0)


@pytest.mark.parity("B4")
def test_the_server_that_was_lost_goes_to_the_tail() -> None:
    known = pool("a,b,c")
    known.succeeded(known.servers[0])
    known.retire_current()
    assert hosts(known) == ["b:4222", "c:4222", "a:4222"]
    known.retire_current()
    known.prefer_others(known.servers[0])
    assert hosts(known) == ["c:4222", "a:4222", "b:4222"]


def refusals(*errors: Exception | None, abort: bool = True) -> PoolServer:
    known = pool("a")
    server = known.servers[0]
    for error in errors:
        if error is None:
            known.succeeded(server)
        else:
            known.note_failure(server, error, abort=abort)
    return server


@pytest.mark.parity("A5")
def test_the_same_refusal_twice_in_a_row_is_final() -> None:
    violation, expired = AuthorizationError("no"), AuthExpiredError("old")
    assert refusals(violation, AuthorizationError("again")).is_final
    assert refusals(expired, violation, violation).is_final
    assert not refusals(violation).is_final
    assert not refusals(violation, expired).is_final
    assert not refusals(expired, violation).is_final
    assert not refusals(violation, None, violation).is_final
    assert not refusals(violation, ConnectError("refused"), violation).is_final
    assert not refusals(violation, violation, abort=False).is_final
    assert not refusals(ConnectError("x"), ConnectError("x")).is_final


@pytest.mark.parametrize(("other", "is_final"), [("u:old", True), ("u:new", False)])
def test_other_credentials_for_a_server_break_the_row_of_refusals(
    other: str, is_final: bool
) -> None:
    known = pool("u:old@a")
    (server,) = known.servers
    known.note_failure(server, AuthorizationError("no"), abort=True)
    known.replace(f"{other}@a")
    known.note_failure(server, AuthorizationError("no"), abort=True)
    assert known.servers == [server]
    assert server.is_final is is_final


# waiting


def test_an_address_is_told_from_a_name() -> None:
    for host in ("127.0.0.1", "::1", "10.0.0.1", "fe80::1"):
        assert is_address(host)
    for host in ("localhost", "a.b", "1.2.3", "1234", "1.2.3.4.5", "\u0661\u0662.0.0.1"):
        assert not is_address(host)
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"):
        assert is_loopback(host)
    for host in ("127.evil.example", "10.0.0.1", "example"):
        assert not is_loopback(host)

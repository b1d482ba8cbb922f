"""Who we are: every way to say it, at every attempt anew, and never where others can read it."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.core import Connection, Options, connect
from natsrpc.core.servers.pool import PoolServer, parse_server
from natsrpc.core.session.auth import check_files, connect_fields
from natsrpc.core.session.creds import find
from natsrpc.core.session.tls import TlsPolicy
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    AuthRevokedError,
    ConfigError,
    ConfigTypeError,
    ConnectError,
    NatsError,
    NatsRpcError,
    NoServersError,
)
from natsrpc.testing import NatsServer
from tests.core.answers import refuses
from tests.core.harness import ScriptedServer, eventually, no_leaks
from tests.core.identities import Key, Operator, creds, key_of_account, private

live = pytest.mark.usefixtures("nats_server")

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}
PLAIN = parse_server("nats://127.0.0.1")
SECRET = "hunter2-very-secret"


class Told:
    """What a connection told, in order."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.failures: list[Exception] = []
        self.reconnects = 0
        self.news = asyncio.Event()

    @property
    def callbacks(self) -> dict[str, Any]:
        return {
            "on_error": lambda nc, sub, error: self.errors.append(error),
            "on_reconnect_error": lambda nc, error: self.failures.append(error),
            "on_reconnect": self._reconnected,
        }

    def _reconnected(self, nc: Connection) -> None:
        self.reconnects += 1
        self.news.set()


async def fields(
    server: PoolServer = PLAIN, nonce: str = "nonce", **options: Any
) -> dict[str, str]:
    return await connect_fields(Options.of(options), server, nonce)


# what goes into CONNECT


@pytest.mark.parity("A2")
async def test_user_and_token_are_both_sent_and_the_server_picks() -> None:
    assert await fields(user="u", password="p", token="t") == {
        "user": "u",
        "pass": "p",
        "auth_token": "t",
    }
    assert await fields(user="u") == {"user": "u", "pass": ""}
    assert await fields() == {}


@pytest.mark.parity("A1", "A3")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://me:pa%20ss@h", {"user": "me", "pass": "pa ss"}),
        ("nats://me:@h", {"user": "me", "pass": ""}),
        ("nats://tok%40en@h", {"auth_token": "tok@en"}),
    ],
)
async def test_credentials_in_a_url_hide_all_of_the_options(
    url: str, expected: dict[str, str]
) -> None:
    def never() -> Any:
        raise AssertionError("called")

    options: dict[str, Any] = {"user_info": never, "token": never, "nkey_seed": never}
    assert await fields(parse_server(url), **options) == expected


@pytest.mark.parity("A10")
async def test_functions_plain_and_async_are_called_for_each_attempt() -> None:
    calls = iter(range(100))

    async def later(value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    options = Options(
        user_info=lambda: later(("u", str(next(calls)))), token=lambda: f"t{next(calls)}"
    )
    assert [await connect_fields(options, PLAIN, "") for _ in range(2)] == [
        {"user": "u", "pass": "0", "auth_token": "t1"},
        {"user": "u", "pass": "2", "auth_token": "t3"},
    ]
    assert await fields(token=lambda: later("async")) == {"auth_token": "async"}
    assert await fields(user_info=lambda: ["a", "b"]) == {"user": "a", "pass": "b"}


@pytest.mark.parity("A10")
async def test_an_nkey_signs_the_nonce_as_it_came(tmp_path: Path) -> None:
    key = Key()
    path = private(tmp_path / "user.nk", f"# mine\n{key.seed}\n")

    async def given() -> Path:
        return path

    sources: list[Any] = [key.seed, f" {key.seed}\n", str(path), path, lambda: key.seed, given]
    sent = [await fields(nonce="aGVsbG8", nkey_seed=source) for source in sources]
    assert all(one == sent[0] for one in sent)
    assert sent[0]["nkey"] == key.public
    assert len(sent[0]["sig"]) == 86  # base64url without padding


@pytest.mark.parity("A10")
async def test_a_jwt_comes_from_a_file_a_pair_or_a_function(tmp_path: Path) -> None:
    key = Key()
    jwt = Operator().user(key)
    text = creds(jwt, key.seed)
    variants = [
        private(tmp_path / "a.creds", text),
        private(tmp_path / "b.creds", text.replace("\n", "\r\n")),
        private(tmp_path / "c.creds", "\ufeff" + text.strip().rstrip("*").strip()),
        private(tmp_path / "d.creds", text.replace("----", "---")),
        str(tmp_path / "a.creds"),
        (jwt, key.seed),
        (jwt, str(private(tmp_path / "e.nk", key.seed))),
        (jwt, key.sign),
    ]
    sent = [await fields(credentials=source) for source in variants]
    assert all(one == sent[0] for one in sent)
    assert sent[0]["jwt"] == jwt
    assert sorted(sent[0]) == ["jwt", "sig"]
    for source in variants:
        assert await fields(credentials=lambda source=source: source) == sent[0]

    async def sign(nonce: bytes) -> bytes:
        return key.sign(nonce)

    def sign_as_text(nonce: bytes) -> str:
        return base64.urlsafe_b64encode(key.sign(nonce)).decode()  # with padding

    assert await fields(credentials=(jwt, sign)) == sent[0]
    assert await fields(credentials=(jwt, sign_as_text)) == sent[0]


async def test_a_bearer_jwt_needs_no_signature(tmp_path: Path) -> None:
    jwt = Operator().user(Key(), bearer=True)
    assert await fields(credentials=(jwt, "")) == {"jwt": jwt}
    for text in (f"{jwt}\n", f"\ufeff{jwt}\r\n"):
        assert await fields(credentials=private(tmp_path / "jwt", text)) == {"jwt": jwt}


def half_written() -> Iterator[tuple[str, str]]:
    key, other = Key(), Key()
    jwt = Operator().user(key)
    text = creds(jwt, key.seed)
    for cut in (0, 20, 40, 200, text.index("--END") - 20, text.index("BEGIN USER") + 30):
        yield f"cut at {cut}", text[:cut]
    yield "a seed cut short", text[: text.index(key.seed) + 30]
    yield "a damaged seed", text.replace(key.seed, key.seed[:20] + "1" + key.seed[21:])
    yield "no seed", jwt
    yield "the seed of another", creds(jwt, other.seed)
    yield "a damaged JWT", creds(jwt[:40] + "!" + jwt[41:], key.seed)
    yield "a JWT cut short", creds(jwt[:-10], key.seed)
    yield "JSON without end", creds(f"a.{'W1tb' * 20_000}.{jwt.rpartition('.')[2]}", key.seed)
    yield "very much", " " * (1 << 20) + text


@pytest.mark.parametrize(("what", "text"), list(half_written()), ids=lambda value: value[:20])
async def test_credentials_that_no_server_would_take_are_refused_before_dialing(
    what: str, text: str, tmp_path: Path
) -> None:
    path = private(tmp_path / "half.creds", text)
    async with ScriptedServer() as server:
        with pytest.raises(ConfigError, match=r"half\.creds"):
            await connect(server.url, credentials=path)
        assert server.peers == []


def half_pairs() -> Iterator[tuple[str, str]]:
    key = Key()
    jwt = Operator().user(key)
    yield "", key.seed
    yield "garbage", key.seed
    yield jwt[:-10], key.seed
    yield jwt, ""
    yield jwt, Key().seed


@pytest.mark.parametrize(
    "pair", list(half_pairs()), ids=lambda pair: f"{pair[0][:9]} {pair[1][:2]}"
)
@pytest.mark.parametrize("by", ["value", "function"])
async def test_a_pair_that_no_server_would_take_is_refused(pair: tuple[str, str], by: str) -> None:
    with pytest.raises(ConfigError, match="the pair of credentials holds") as caught:
        await fields(credentials=pair if by == "value" else lambda: pair)
    assert not any(part and part in everything_said(caught.value) for part in pair)


@pytest.mark.parametrize("token", ["", lambda: ""])
async def test_an_empty_token_is_refused(token: Any) -> None:
    with pytest.raises(ConfigError, match="the token is empty"):
        await fields(token=token)


@live
async def test_a_token_that_is_empty_for_a_moment_does_not_end_the_connection() -> None:
    tokens = iter(["right", "", "", ""])
    told = Told()
    async with (
        NatsServer('authorization { token: "right" }') as server,
        connect(server.url, token=lambda: next(tokens, "right"), **QUICK, **told.callbacks) as nc,
    ):
        await nc.force_reconnect()
        await nc.flush()
        assert next(tokens, "used") == "used"


@pytest.mark.parametrize(
    "text", ["-" * 200_000, "---BEGIN" + "JWT" * 70_000, "-----BEGIN JWT-----" + "\n" * 200_000]
)
def test_no_file_takes_long_to_read(text: str) -> None:
    """A pattern that looks for dashes would take minutes for the first."""
    assert find(text).seed == ""


async def test_without_a_nonce_a_jwt_goes_unsigned_and_an_nkey_not_at_all() -> None:
    key = Key()
    jwt = Operator().user(key)
    assert await fields(nonce="", credentials=(jwt, key.seed)) == {"jwt": jwt}
    with pytest.raises(AuthorizationError, match="does not support nkeys") as caught:
        await fields(nonce="", nkey_seed=key.seed)
    assert caught.value.server == "nats://127.0.0.1:4222"


# what is refused


def bad_seeds() -> Iterator[tuple[str, str]]:
    seed = Key().seed
    yield "mistyped", seed[:30] + ("A" if seed[30] != "A" else "B") + seed[31:]
    yield "of an account", key_of_account().seed
    yield "cut short", seed[:-1]
    yield "lower case", seed.lower()
    yield "a public key", Key().public
    yield "with a digit that base32 has not", "SUA1" + seed[4:]


@pytest.mark.parametrize(("what", "seed"), list(bad_seeds()), ids=lambda value: value[:12])
@pytest.mark.parametrize("where", ["nkey_seed", "pair", "file"])
async def test_a_bad_seed_is_refused_unquoted(
    what: str, seed: str, where: str, tmp_path: Path
) -> None:
    ways: dict[str, dict[str, Any]] = {
        "nkey_seed": {"nkey_seed": seed},
        "pair": {"credentials": ("a.b.c", seed)},
        "file": {"nkey_seed": private(tmp_path / "nk", seed)},
    }
    given = ways[where]
    with pytest.raises(ConfigError) as caught:
        await fields(**given)
    assert seed not in everything_said(caught.value)
    with pytest.raises(ConfigError):
        check_files(Options.of(given))


@pytest.mark.parity("A10")
@pytest.mark.parametrize("option", ["nkey_seed", "credentials"])
async def test_a_file_that_is_missing_or_wrong_is_refused_and_named(
    option: str, tmp_path: Path
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    empty = private(tmp_path / "empty", "")
    cases = {
        tmp_path / "missing": "No such file",
        tmp_path: "not a regular file",
        binary: "not a readable text file",
        empty: "holds no",
    }
    for path, told in cases.items():
        for shape in (path, str(path)):
            with pytest.raises(ConfigError, match=told) as caught:
                check_files(Options.of({option: shape}))
            assert option in str(caught.value)
            assert repr(str(path)) in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("option", ["nkey_seed", "credentials", "tls_ca"])
def test_a_file_that_nobody_writes_to_is_not_waited_for(option: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="not a regular file"):
            if option == "tls_ca":
                assert TlsPolicy(Options(tls_ca=path, tls=True), scheme="nats").context
            else:
                check_files(Options.of({option: path}))


async def test_what_looks_like_a_secret_given_as_a_path_is_not_quoted() -> None:
    key = Key()
    jwt = Operator().user(key)
    for option, given in [
        ("credentials", jwt),
        ("credentials", creds(jwt[:150], key.seed)),
        ("credentials", creds(jwt, key.seed[:40])),
        ("credentials", jwt[:150]),
        ("credentials", key.seed),
        ("nkey_seed", f"x{key.seed}"),
        ("nkey_seed", key.seed[:40]),
        ("nkey_seed", creds(jwt, key.seed)),
    ]:
        with pytest.raises(ConfigError) as caught:
            check_files(Options.of({option: given}))
        said = everything_said(caught.value)
        assert given.split("\n", 1)[0] not in said
        assert key.seed[:20] not in said
        assert jwt[:40] not in said


BAD_RESULTS: list[tuple[str, Any]] = [
    ("token", SECRET.encode()),
    ("token", None),
    ("user_info", SECRET),
    ("user_info", (SECRET,)),
    ("user_info", (SECRET, None)),
    ("user_info", None),
    ("nkey_seed", SECRET.encode()),
    ("nkey_seed", None),
    ("credentials", SECRET.encode()),
    ("credentials", (SECRET,)),
    ("credentials", (SECRET.encode(), SECRET)),
    ("credentials", (SECRET, 5)),
    ("credentials", (SECRET, lambda nonce: 5)),
    ("credentials", None),
]


@pytest.mark.parametrize(("option", "result"), BAD_RESULTS)
async def test_a_function_that_gives_something_else_is_refused_unquoted(
    option: str, result: Any
) -> None:
    given: dict[str, Any] = {option: lambda: result}
    with pytest.raises(ConfigTypeError, match=option) as caught:
        await fields(**given)
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize("option", ["token", "user_info", "nkey_seed", "credentials", "signing"])
async def test_a_function_that_raises_is_told_with_its_exception_as_the_cause(option: str) -> None:
    async def broken(*_: object) -> Any:
        raise OSError("the vault is sealed")

    given: dict[str, Any] = {option: broken}
    if option == "signing":
        given = {"credentials": ("j", broken)}
    with pytest.raises(ConfigError, match="function raised OSError") as caught:
        await fields(**given)
    assert isinstance(caught.value.__cause__, OSError)


def test_keys_without_the_package_for_them_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(ConfigError, match=r"pip install 'natsrpc\[nkeys\]'"):
        check_files(Options(nkey_seed=Key().seed))
    check_files(Options(credentials=(Operator().user(Key(), bearer=True), "")))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
async def test_a_file_that_others_can_read_is_warned_of_once_per_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = private(tmp_path / "user.nk", Key().seed)
    check_files(Options(nkey_seed=path))
    await fields(nkey_seed=path)
    assert caplog.records == []
    path.chmod(0o640)
    check_files(Options(nkey_seed=path))
    await fields(nkey_seed=path)
    (record,) = caplog.records
    assert "can be read by others" in record.getMessage()
    assert str(path) in record.getMessage()


# a real server


USERS = 'authorization { users: [ {user: "me", password: "p w"}, {user: "other", password: ""} ] }'


@live
@pytest.mark.parity("A1", "A2", "A3", "A5", "E9")
async def test_users_and_passwords() -> None:
    async with NatsServer(USERS) as server:
        where = f"127.0.0.1:{server.port}"
        good: list[tuple[str, dict[str, Any]]] = [
            (where, {"user": "me", "password": "p w"}),
            (where, {"user": "other"}),
            (where, {"user_info": lambda: ("me", "p w")}),
            (f"nats://me:p%20w@{where}", {}),
            (f"nats://other:@{where}", {}),
            (f"nats://me:p%20w@{where}", {"user": "me", "password": "wrong"}),
        ]
        for url, options in good:
            async with connect(url, **options) as nc:
                await nc.flush()
        bad: list[tuple[str, dict[str, Any]]] = [
            (where, {}),
            (where, {"user": "me", "password": SECRET}),
            (f"nats://me:{SECRET}@{where}", {"user": "me", "password": "p w"}),
            (f"nats://{SECRET}@{where}", {}),
        ]
        for url, options in bad:
            async with no_leaks():
                with pytest.raises(AuthorizationError) as caught:
                    await connect(url, **options)
            assert caught.value.server == server.url
            assert isinstance(caught.value, ConnectionError)
            assert SECRET not in everything_said(caught.value)


@live
@pytest.mark.parity("A1", "A2", "A10")
async def test_tokens() -> None:
    async def given() -> str:
        return "s3:cr@t"

    async with NatsServer('authorization { token: "s3:cr@t" }') as server:
        where = f"127.0.0.1:{server.port}"
        good: list[tuple[str, dict[str, Any]]] = [
            (where, {"token": "s3:cr@t"}),
            (where, {"token": given}),
            (f"s3%3Acr%40t@{where}", {}),
            (where, {"token": "s3:cr@t", "user": "u", "password": "p"}),
        ]
        for url, options in good:
            async with connect(url, **options) as nc:
                await nc.flush()
        with pytest.raises(AuthorizationError):
            await connect(where, user="s3:cr@t")


@live
async def test_credentials_are_sent_though_the_server_does_not_ask() -> None:
    """With `no_auth_user` INFO says nothing of authentication, and credentials count."""
    config = 'no_auth_user: "other"\n' + USERS
    async with NatsServer(config) as server:
        assert not server.info().get("auth_required")
        async with connect(server.url, user="me", password="p w") as nc:
            await nc.flush()
        with pytest.raises(AuthorizationError):
            await connect(server.url, user="me", password="wrong")


@live
@pytest.mark.parity("A10", "L-auth")
async def test_nkeys(tmp_path: Path) -> None:
    key = Key()
    async with NatsServer(f"authorization {{ users: [ {{nkey: {key.public}}} ] }}") as server:
        for source in (key.seed, private(tmp_path / "user.nk", key.seed), lambda: key.seed):
            async with connect(server.url, nkey_seed=source) as nc:
                await nc.flush()
        with pytest.raises(AuthorizationError):
            await connect(server.url, nkey_seed=Key().seed)
    async with NatsServer() as server:
        for options in ({"nkey_seed": key.seed}, {"nkey": (key.public, key.sign)}):
            with pytest.raises(AuthorizationError, match="no nonce"):
                await connect(server.url, **options)


@pytest.mark.parity("L-signers")
@live
async def test_an_nkey_whose_seed_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signer alone has the seed; the package nkeys is not even needed."""
    key, asked = Key(), []

    def sign(nonce: bytes) -> bytes:
        asked.append(nonce)
        return key.sign(nonce)

    async def sign_as_text(nonce: bytes) -> str:
        return base64.urlsafe_b64encode(key.sign(nonce)).decode()

    config = f"authorization {{ users: [ {{nkey: {key.public}}} ] }}"
    monkeypatch.setitem(sys.modules, "nkeys", None)
    async with NatsServer(config) as server:
        for signer in (sign, sign_as_text):
            async with connect(server.url, nkey=(key.public, signer), reconnect_wait=0.01) as nc:
                await nc.force_reconnect()
                await nc.flush()
        assert len(set(asked)) == 2
        with pytest.raises(AuthorizationError):
            await connect(server.url, nkey=(key.public, lambda nonce: key.sign(nonce + b"x")))
        wrongs: list[tuple[Any, str]] = [
            (lambda nonce: 5, "the nkey's signing function must give bytes, not int"),
            (lambda nonce: 1 / 0, "the nkey's signing function raised ZeroDivisionError"),
        ]
        for wrong, told in wrongs:
            with pytest.raises(ConfigError, match=told):
                await connect(server.url, nkey=(key.public, wrong))


@pytest.mark.parametrize(
    ("public", "told"),
    [
        ("nobody", "expected a user's public key"),
        ("U" + "A" * 55, "its checksum is wrong"),
        (Key().seed, "that is a seed, for nkey_seed"),
        (key_of_account().public, "expected a user's public key"),
    ],
)
def test_what_is_no_users_public_key_is_refused(public: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        check_files(Options.of({"nkey": (public, lambda nonce: b"")}))
    assert public not in str(caught.value)


@pytest.mark.parametrize("bad", ["U", ("U",), ("U", "V"), (5, len), len])
def test_an_nkey_of_the_wrong_type_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigTypeError, match=r"nkey must be \(public key, signing function\)"):
        Options.of({"nkey": bad})


def test_one_key_is_enough() -> None:
    pair = (Key().public, lambda nonce: b"")
    with pytest.raises(ConfigError, match="nkey and credentials contradict each other"):
        Options.of({"nkey": pair, "credentials": "x.creds"})
    with pytest.raises(ConfigError, match="nkey_seed and nkey contradict each other"):
        Options.of({"nkey": pair, "nkey_seed": "x.nk"})


@pytest.mark.parity("L-signers")
def test_the_text_of_credentials_is_looked_at_as_a_file_is() -> None:
    operator, key = Operator(), Key()
    jwt = operator.user(key)
    for text, told in [
        (creds("a.b", key.seed), "the text of credentials holds no user JWT"),
        (creds(jwt[:-9], key.seed), "the text of credentials holds a damaged user JWT"),
        (creds(jwt, key.seed[:-1]), "the text of credentials holds a damaged seed"),
        (creds(jwt, Key().seed), "holds the seed of another user"),
        (creds(jwt, key.seed) + " " * 2**20, "it is too large"),
    ]:
        for given in (text, text.encode()):
            with pytest.raises(ConfigError, match=told) as caught:
                check_files(Options.of({"credentials": given}))
            assert key.seed[:20] not in everything_said(caught.value)


@live
@pytest.mark.parity("A10", "L-auth")
async def test_jwts_of_an_operator(tmp_path: Path) -> None:
    operator, key = Operator(), Key()
    jwt = operator.user(key)

    async def sign(nonce: bytes) -> bytes:
        return key.sign(nonce)

    async def fetched() -> bytes:
        return creds(jwt, key.seed).encode()

    async with NatsServer(operator.config) as server:
        sources: list[Any] = [
            private(tmp_path / "user.creds", creds(jwt, key.seed)),
            (jwt, key.seed),
            (jwt, key.sign),
            (jwt, sign),
            lambda: (jwt, key.seed),
            creds(jwt, key.seed),
            creds(jwt, key.seed).encode(),
            lambda: creds(jwt, key.seed),
            fetched,
            (operator.user(key, bearer=True), ""),
        ]
        for source in sources:
            async with connect(server.url, credentials=source) as nc:
                await nc.flush()
        wrongs: list[tuple[str, Any]] = [
            (jwt, Key().sign),
            (operator.user(key, expires_in=-10), key.seed),
            (Operator().user(key), key.seed),
        ]
        for wrong in wrongs:
            with pytest.raises(AuthorizationError) as caught:
                await connect(server.url, credentials=wrong)
            assert wrong[0] not in everything_said(caught.value)


@live
@pytest.mark.parity("A5", "A8", "E20", "L-auth")
async def test_expired_credentials_end_the_connection_when_no_fresh_ones_come() -> None:
    operator, key, told = Operator(), Key(), Told()
    async with NatsServer(operator.config) as server, no_leaks():
        jwt = operator.user(key, expires_in=1.999)
        async with connect(
            server.url, credentials=(jwt, key.seed), **QUICK, **told.callbacks
        ) as nc:
            await asyncio.wait_for(nc.wait_closed(), 10)
            # within the second of its end the server lets a user in, and throws it out again
            assert {type(error) for error in told.errors} == {AuthExpiredError}
            assert told.failures[-1] is nc.last_error
            assert isinstance(nc.last_error, AuthorizationError)
            assert jwt not in "".join(map(everything_said, told.errors + told.failures))


@live
@pytest.mark.parity("A8", "A10")
async def test_expired_credentials_are_replaced_by_those_now_in_the_file(tmp_path: Path) -> None:
    operator, key, told = Operator(), Key(), Told()
    path = private(tmp_path / "user.creds", creds(operator.user(key, expires_in=1.999), key.seed))
    async with (
        NatsServer(operator.config) as server,
        connect(server.url, credentials=path, **QUICK, **told.callbacks) as nc,
    ):
        private(path, creds(operator.user(key), key.seed))
        await asyncio.wait_for(told.news.wait(), 10)
        assert {type(error) for error in told.errors} == {AuthExpiredError}
        assert told.failures == []
        await nc.flush()


@live
@pytest.mark.parity("A8")
async def test_revoked_credentials_are_told_and_end_the_connection() -> None:
    operator, key, told = Operator(), Key(), Told()
    async with (
        NatsServer(operator.config) as server,
        connect(
            server.url, credentials=(operator.user(key), key.seed), **QUICK, **told.callbacks
        ) as nc,
    ):
        operator.revoke(key)
        await asyncio.to_thread(server.reload, operator.config)
        await asyncio.wait_for(nc.wait_closed(), 10)
        assert [type(error) for error in told.errors] == [AuthRevokedError]
        assert type(nc.last_error) is AuthorizationError


@live
@pytest.mark.parity("A6")
async def test_a_refusal_while_connected_is_told_and_the_next_credentials_are_used() -> None:
    told, passwords = Told(), iter(["old", "new", "never"])
    users = 'authorization { users: [ {user: "me", password: "old"} ] }'
    async with (
        NatsServer(users) as server,
        connect(
            server.url, user_info=lambda: ("me", next(passwords)), **QUICK, **told.callbacks
        ) as nc,
    ):
        await asyncio.to_thread(server.reload, users.replace("old", "new"))
        await asyncio.wait_for(told.news.wait(), 10)
        assert [type(error) for error in told.errors] == [AuthorizationError]
        assert told.failures == []
        assert nc.stats().reconnects == 1
        await nc.flush()


@live
@pytest.mark.parity("A5")
async def test_refusals_do_not_end_a_connection_told_to_go_on() -> None:
    """`ignore_auth_error_abort`: the server may be wrong for a while."""
    told, old = Told(), 'authorization { user: "me", password: "old" }'
    async with (
        NatsServer(old) as server,
        connect(
            server.url, user="me", password="old", ignore_auth_error_abort=True, **QUICK,
            **told.callbacks,
        ) as nc,
    ):  # fmt: skip
        await asyncio.to_thread(server.reload, old.replace("old", "other"))
        await eventually(lambda: len(told.failures) >= 3)
        assert all(isinstance(error, AuthorizationError) for error in told.failures)
        assert nc.is_reconnecting
        await asyncio.to_thread(server.reload, old)
        await asyncio.wait_for(told.news.wait(), 10)
        await nc.flush()


@live
async def test_a_file_that_is_half_written_at_a_reconnect_ends_nothing(tmp_path: Path) -> None:
    operator, key, told = Operator(), Key(), Told()
    text = creds(operator.user(key), key.seed)
    path = private(tmp_path / "user.creds", text)
    async with (
        NatsServer(operator.config) as server,
        connect(server.url, credentials=path, **QUICK, **told.callbacks) as nc,
    ):
        for half in (text[: len(text) // 2], text[: text.index(key.seed) + 20], ""):
            path.write_text(half)
            told.failures.clear()
            told.news.clear()
            await nc.force_reconnect()
            await eventually(lambda: len(told.failures) >= 3)
            assert all(isinstance(error, ConfigError) for error in told.failures)
            path.write_text(text)
            await asyncio.wait_for(told.news.wait(), 10)
        await nc.flush()


@live
@pytest.mark.parity("A10", "B11")
async def test_a_file_missing_at_a_reconnect_is_a_failed_attempt_that_is_told(
    tmp_path: Path,
) -> None:
    operator, key, told = Operator(), Key(), Told()
    text = creds(operator.user(key), key.seed)
    path = private(tmp_path / "user.creds", text)
    async with (
        NatsServer(operator.config) as server,
        connect(server.url, credentials=path, **QUICK, **told.callbacks) as nc,
    ):
        path.unlink()
        await nc.force_reconnect()
        await eventually(lambda: len(told.failures) >= 2)
        assert all(isinstance(error, ConfigError) for error in told.failures)
        assert "user.creds" in str(told.failures[0])
        private(path, text)
        await asyncio.wait_for(told.news.wait(), 10)
        await nc.flush()


@live
async def test_authentication_that_takes_too_long_is_a_failed_attempt_not_a_refusal() -> None:
    async def slow() -> str:
        await asyncio.sleep(0.5)  # why: the real server waits for less
        return "t"

    async with NatsServer('authorization { token: "t", timeout: 0.1 }') as server:
        with pytest.raises(NoServersError) as caught:
            await connect(server.url, token=slow)
        ((where, error),) = caught.value.attempts
        assert where == server.url
        assert type(error) is ConnectError
        assert "Authentication Timeout" in str(error)


# a scripted server


async def test_a_function_that_raises_at_a_reconnect_is_a_failed_attempt_that_is_told() -> None:
    told = Told()
    calls: Iterator[str | Exception] = iter(["first", OSError("sealed"), KeyError("x"), "fourth"])

    def token() -> str:
        value = next(calls)
        if isinstance(value, Exception):
            raise value
        return value

    async with (
        ScriptedServer() as server,
        connect(server.url, token=token, **QUICK, **told.callbacks) as nc,
    ):
        (await server.accept()).close()
        await asyncio.wait_for(told.news.wait(), 5)
        assert [type(error.__cause__) for error in told.failures] == [OSError, KeyError]
        assert nc.is_connected
        assert server.peers[-1].frames[0].options["auth_token"] == "fourth"


async def test_a_function_that_hangs_is_an_attempt_that_ran_out_of_time() -> None:
    async def hangs() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async with no_leaks(), ScriptedServer() as server:
        with pytest.raises(NoServersError, match="while getting the credentials"):
            await connect(server.url, token=hangs, connect_timeout=0.3)


@pytest.mark.parity("A5")
async def test_a_refusal_with_another_failure_between_is_not_twice_in_a_row() -> None:
    violation, full = "Authorization Violation", "maximum connections exceeded"
    told, answers = Told(), iter([violation, full, violation, violation])

    async with ScriptedServer(auto_pong=False) as server:
        server.listeners.append(refuses(answers))
        async with connect(
            server.url, retry_on_failed_connect=True, **QUICK, **told.callbacks
        ) as nc:
            await asyncio.wait_for(nc.wait_closed(), 5)
            assert next(answers, None) is None
            assert isinstance(nc.last_error, AuthorizationError)


@pytest.mark.parity("A5", "A8")
async def test_an_expiry_then_the_same_refusal_twice_ends_the_connection() -> None:
    told = Told()
    async with (
        ScriptedServer() as server,
        connect(server.url, token="t", **QUICK, **told.callbacks) as nc,
    ):
        peer = await server.accept()
        server.auto_pong = False
        server.listeners.append(refuses("Authorization Violation"))
        peer.err("User Authentication Expired")
        peer.close()
        await asyncio.wait_for(nc.wait_closed(), 5)
        assert [type(error) for error in told.errors] == [AuthExpiredError]
        assert [type(error) for error in told.failures] == [AuthorizationError] * 2
        assert nc.last_error is told.failures[-1]


@pytest.mark.parity("A5", "A6")
async def test_a_refusal_while_connected_counts_as_the_first_of_two() -> None:
    told = Told()
    async with (
        ScriptedServer() as server,
        connect(server.url, token="t", **QUICK, **told.callbacks) as nc,
    ):
        peer = await server.accept()
        server.auto_pong = False
        server.listeners.append(refuses("Authorization Violation"))
        peer.err("Authorization Violation")
        peer.close()
        await asyncio.wait_for(nc.wait_closed(), 5)
        assert len(told.errors) == len(told.failures) == 1
        assert len(server.peers) == 2


@pytest.mark.parity("A4")
@pytest.mark.parametrize(
    ("url", "options", "sent"),
    [
        ("nats://me:pw@127.0.0.1:{}", {}, {"user": "me", "pass": "pw"}),
        ("nats://tok@127.0.0.1:{}", {}, {"auth_token": "tok"}),
        ("127.0.0.1:{}", {"user": "o", "password": "q"}, {"user": "o", "pass": "q"}),
        ("nats://me:pw@127.0.0.1:{}", {"token": "t"}, {"auth_token": "t"}),
    ],
)
async def test_a_discovered_server_is_told_who_we_are(
    url: str, options: dict[str, Any], sent: dict[str, str]
) -> None:
    async with ScriptedServer() as second, ScriptedServer() as first:
        first.info["connect_urls"] = [second.address]
        async with connect(url.format(first.port), **QUICK, **options):
            peer = await first.accept()
            first.refuse()
            peer.close()
            fields = (await second.accept()).frames[0].options
            assert {
                key: fields[key] for key in ("user", "pass", "auth_token") if key in fields
            } == sent


# secrets


def everything_said(error: BaseException | None) -> str:
    """All the text of an exception, its notes, its attempts, and what it came from."""
    if error is None:
        return ""
    notes = "".join(getattr(error, "__notes__", ()))
    attempts = "".join(everything_said(one) for _, one in getattr(error, "attempts", ()))
    own = f"{error!r}{error}{notes}{attempts}{vars(error)!r}"
    return own + everything_said(error.__cause__) + everything_said(error.__context__)


async def test_no_secret_is_shown_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, disconnected, reconnected, at the finest log level: none of it holds a secret."""
    caplog.set_level(logging.DEBUG)
    key, told = Key(), Told()
    jwt = Operator().user(key)
    path = private(tmp_path / "user.creds", creds(jwt, key.seed))
    path.chmod(0o644)
    seen: list[object] = []
    cases: list[tuple[str, dict[str, Any]]] = [
        ("nats://user:{0}@127.0.0.1:{1}", {}),
        ("nats://{0}@127.0.0.1:{1}", {}),
        ("127.0.0.1:{1}", {"user": "user", "password": SECRET, "token": SECRET}),
        ("127.0.0.1:{1}", {"user_info": lambda: ("user", SECRET), "token": lambda: SECRET}),
        ("127.0.0.1:{1}", {"nkey_seed": key.seed}),
        ("127.0.0.1:{1}", {"credentials": path}),
        ("127.0.0.1:{1}", {"credentials": (jwt, key.seed)}),
    ]
    for url, options in cases:
        async with ScriptedServer(info={"nonce": "n", "auth_required": True}) as server:
            where = url.format(SECRET, server.port)
            async with connect(where, **QUICK, **options, **told.callbacks) as nc:
                events = nc.events()
                peer = await server.accept()
                seen += [repr(nc), repr(nc.options), nc.servers, nc.connected_url]
                peer.err("Authorization Violation")
                peer.close()
                peer = await server.accept()
                server.auto_pong = False
                peer.close()
                for _ in range(2):
                    refused = await server.accept()
                    refused.err("Authorization Violation")
                    refused.close()
                await asyncio.wait_for(nc.wait_closed(), 5)
                seen += [repr(event) async for event in events]
                seen.append(everything_said(nc.last_error))
                with pytest.raises(NatsError) as caught:
                    await nc.publish("a")
                seen.append(everything_said(caught.value))
            server.refuse()
            with pytest.raises(NatsRpcError) as failed:
                await connect([where, where.replace("127.0.0.1", "127.0.0.2")], **options)
            seen.append(everything_said(failed.value))
    seen += map(everything_said, told.errors + told.failures)
    text = caplog.text + "".join(map(str, seen))
    assert "chmod 600" in text
    assert "Violation" in text
    assert "***" in text
    for secret in (SECRET, key.seed, jwt, jwt[-86:]):
        assert secret not in text


OURS = str(Path(natsrpc.__file__).parent) + os.sep


def frames_of_ours(error: BaseException | None) -> str:
    """The values of all variables in the frames of natsrpc that a traceback shows."""
    if error is None:
        return ""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    own = "".join(
        f"{frame.name}: {frame.locals}\n" for frame in shown if frame.filename.startswith(OURS)
    )
    before = None if error.__suppress_context__ else error.__context__
    return own + frames_of_ours(error.__cause__ or before)


@pytest.mark.parametrize("connecting", [connect, natsrpc.connect], ids=["core", "typed"])
async def test_no_traceback_shows_a_secret_among_the_variables(
    tmp_path: Path, connecting: Any
) -> None:
    key, other = Key(), Key()
    jwt = Operator().user(key)
    texts = {
        "jwt": creds(jwt[:-5] + "%%", key.seed),
        "seed": creds(jwt, key.seed[:-3]),
        "pair": creds(jwt, other.seed),
        "none": creds(jwt, ""),
    }
    files = {name: private(tmp_path / name, text) for name, text in texts.items()}
    cases: list[tuple[str, dict[str, Any]]] = [
        *(("127.0.0.1:{1}", {"credentials": each}) for each in (*texts.values(), *files.values())),
        ("127.0.0.1:{1}", {"credentials": (jwt, "SU" + key.seed)}),
        ("127.0.0.1:{1}", {"credentials": lambda: texts["pair"]}),
        ("127.0.0.1:{1}", {"nkey_seed": lambda: key.seed[:-1] + "%"}),
        ("nats://user:{0}/x@127.0.0.1:{1}", {}),
        ("nats://user:{0}@127.0.0.1:{1}", {"connect_timeout": "long"}),
        ("127.0.0.1:{1}", {"password": SECRET, "token": SECRET, "colour": "red"}),
        ("127.0.0.1:{1}", {"user": 3, "password": SECRET}),
        ("127.0.0.1:{1}", {"user": "u", "password": SECRET}),
        ("nats://{0}@127.0.0.1:{1}", {}),
        ("127.0.0.1:{1}", {"ws_headers": {"Authorization": SECRET}}),
        ("ws://127.0.0.1:{1}", {"ws_headers": {"Authorization": SECRET, "Host": "x"}}),
        ("ws://127.0.0.1:{1}", {"ws_headers": lambda: {"Authorization": f"{SECRET}\n"}}),
    ]
    async with ScriptedServer(info={"nonce": "n", "auth_required": True}) as server:
        server.auto_pong = False
        for url, options in cases:
            with pytest.raises(NatsRpcError) as failed:
                where = url.format(SECRET, server.port)
                await connecting(where, **{"connect_timeout": 0.05, **options})
            shown = frames_of_ours(failed.value)
            for secret in (SECRET, key.seed[:-5], other.seed, jwt[-60:-5]):
                assert secret not in shown, options


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"user": "u", "password": "p"}, True),
        ({"token": "t"}, True),
        ({"credentials": (Operator().user(Key(), bearer=True), "")}, True),
        ({"nkey_seed": Key().seed}, False),
        ({}, False),
    ],
)
async def test_a_secret_that_goes_to_another_machine_without_tls_is_warned_of(
    options: dict[str, Any], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with ScriptedServer(info={"nonce": "n"}) as server:

        async def dial(make: Any, host: str, port: int) -> Any:
            return await asyncio.get_running_loop().create_connection(
                make, "127.0.0.1", server.port
            )

        async with connect("far.example", dialer=dial, **options):
            pass
        async with connect(server.url, **options):
            pass
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    expected = ["credentials go to nats://far.example:4222 without TLS"] if told else []
    assert warnings == expected

"""natsrpc.cli.context: flags, environment and the contexts of the nats command."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from natsrpc.cli.context import Destination, Flags, find_destination
from natsrpc.errors import ConfigError

SEED = "SU" + "A" * 56
CREDS = f"""-----BEGIN NATS USER JWT-----
a.b.c
------END NATS USER JWT------

************************* IMPORTANT *************************
-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


class Home:
    """A configuration folder with contexts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"XDG_CONFIG_HOME": str(folder)}
        self.warnings: list[str] = []

    def context(self, name: str, **values: Any) -> Path:
        path = self.folder / "nats" / "context" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
        return path

    def select(self, name: str) -> None:
        (self.folder / "nats").mkdir(exist_ok=True)
        (self.folder / "nats" / "context.txt").write_text(name + "\n")

    def destination(self, flags: Flags | None = None, **variables: str) -> Destination:
        return find_destination(
            flags or Flags(), self.environ | variables, warn=self.warnings.append
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nothing_said_is_the_local_server(home: Home) -> None:
    assert home.destination() == Destination(["nats://127.0.0.1:4222"], {}, "")


def test_selected_context_is_used_and_named_one_is_preferred(home: Home) -> None:
    home.context("one", url="nats://one:4222, nats://two:4222")
    home.context("other", url="nats://other:4222")
    home.select("one")
    assert home.destination().servers == ["nats://one:4222", "nats://two:4222"]
    assert home.destination().source == "context 'one'"
    assert home.destination(Flags(context="other")).servers == ["nats://other:4222"]
    assert home.destination(NATS_CONTEXT="other").servers == ["nats://other:4222"]


def test_context_may_be_the_path_of_a_file(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "here.json"
    path.write_text('{"url": "nats://here:1"}')
    assert home.destination(Flags(context=str(path))).servers == ["nats://here:1"]


def test_url_of_environment_and_flag_override_the_context(home: Home) -> None:
    home.context("one", url="nats://one:4222", user="ann", password="pw")
    home.select("one")
    destination = home.destination(NATS_URL="nats://env:4222")
    assert destination.servers == ["nats://env:4222"]
    assert destination.options == {"user": "ann", "password": "pw"}
    flags = Flags(server="nats://flag:4222")
    assert home.destination(flags, NATS_URL="nats://env:4222").servers == ["nats://flag:4222"]


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b"])
def test_names_that_leave_the_folder_are_refused(home: Home, name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a context"):
        home.destination(Flags(context=name))


def test_missing_and_broken_contexts_are_errors(home: Home) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        home.destination(Flags(context="nowhere"))
    home.context("list").write_text("[]")
    with pytest.raises(ConfigError, match="no JSON object"):
        home.destination(Flags(context="list"))
    home.context("broken").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        home.destination(Flags(context="broken"))


def test_empty_and_unknown_keys_mean_nothing(home: Home) -> None:
    home.context("one", url="", user="", token="", color_scheme="blue", whatever=1)
    assert home.destination(Flags(context="one")) == Destination(
        ["nats://127.0.0.1:4222"], {}, "context 'one'"
    )


def test_user_without_password_is_a_token(home: Home) -> None:
    assert home.destination(Flags(user="s3cret")).options == {"token": "s3cret"}


def test_first_identity_wins_with_a_warning_and_the_token_goes_besides(home: Home) -> None:
    home.context("one", user="ann", password="pw", creds="/a.creds", token="t")
    assert home.destination(Flags(context="one")).options == {
        "user": "ann",
        "password": "pw",
        "token": "t",
    }
    assert home.warnings == ["several identities are set (user, creds): user is used"]


def test_identity_of_a_flag_hides_those_of_environment_and_context(home: Home) -> None:
    home.context("one", user="ann", password="pw", token="t")
    options = home.destination(Flags(context="one", creds="/a.creds"), NATS_USER="bob").options
    assert options == {"credentials": "/a.creds"}
    assert home.warnings == []


def test_jwt_without_seed_is_a_bearer(home: Home) -> None:
    assert home.destination(NATS_JWT="a.b.c").options == {"credentials": ("a.b.c", "")}
    assert home.destination(NATS_JWT="a.b.c", NATS_SEED=SEED).options == {
        "credentials": ("a.b.c", SEED)
    }


def test_paths_are_expanded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    home.context(
        "one", cert="$DIR/c.pem", key="${DIR}/k.pem", ca="~/ca.pem", creds="file://$DIR/u.creds"
    )
    assert home.destination(Flags(context="one"), DIR="/pki").options == {
        "tls_cert": ("/pki/c.pem", "/pki/k.pem"),
        "tls_ca": "/home/ann/ca.pem",
        "credentials": "/pki/u.creds",
    }


def test_references_are_resolved(home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from file\n")
    encoded = base64.b64encode(b"from data\r\n").decode()
    home.context("env", token="env://MY_TOKEN")
    home.context("file", token=f"file://{secret}")
    home.context("data", token=f"data:;base64,{encoded}")
    home.context("literal", token="weird:thing")
    assert (
        home.destination(Flags(context="env"), MY_TOKEN="from env").options["token"] == "from env"
    )
    assert home.destination(Flags(context="file")).options["token"] == "from file"
    assert home.destination(Flags(context="data")).options["token"] == "from data"
    assert home.destination(Flags(context="literal")).options["token"] == "weird:thing"


def test_credentials_by_reference_become_jwt_and_seed(home: Home) -> None:
    home.context("one", creds="env://MY_CREDS")
    home.context("two", nkey="data:;base64," + base64.b64encode(SEED.encode()).decode())
    options = home.destination(Flags(context="one"), MY_CREDS=CREDS).options
    assert options == {"credentials": ("a.b.c", SEED)}
    assert home.destination(Flags(context="two")).options == {"nkey_seed": SEED}


def test_windows_drive_is_a_path(home: Home) -> None:
    assert home.destination(Flags(creds="C:\\me.creds")).options == {"credentials": "C:\\me.creds"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"token": "env://NOT_SET"}, "not set"),
        ({"creds": "s3://bucket/x"}, "unknown scheme 's3'"),
        ({"creds": "op://vault/x"}, "not supported"),
        ({"token": "nsc://o/a/u"}, "not supported"),
        ({"creds": "data:;base64,???"}, "no valid base64"),
        ({"creds": "data:;base64," + base64.b64encode(b"x").decode()}, "no user JWT"),
        ({"nkey": "data:;base64," + base64.b64encode(b"x").decode()}, "no seed"),
        ({"token": "file:///nowhere"}, "cannot be read"),
        ({"cert": "/c.pem"}, "both cert and key"),
        ({"socks_proxy": "socks5://x"}, "socks_proxy is not supported"),
        ({"nsc": "nsc://o/a/u"}, "nsc profiles are not supported"),
    ],
)
def test_what_cannot_be_done_is_refused(home: Home, values: dict[str, str], text: str) -> None:
    home.context("one", **values)
    with pytest.raises(ConfigError, match=text):
        home.destination(Flags(context="one"))


def test_windows_stores_are_ignored_with_a_warning(home: Home) -> None:
    home.context("one", windows_cert_store="user", tls_first=True, inbox_prefix="_MINE")
    destination = home.destination(Flags(context="one"))
    assert destination.options == {"tls_handshake_first": True, "inbox_prefix": "_MINE"}
    assert home.warnings == ["windows_cert_store of context 'one' is ignored"]


def test_secrets_are_not_shown(home: Home) -> None:
    destination = home.destination(Flags(user="ann", password="hush"))
    assert "hush" not in repr(destination)
    assert "hush" not in repr(Flags(password="hush"))


ODD: list[Any] = [
    "env://X", "env://HOME", "file:///etc/hostname", "file://../x", "data:;base64,QQ==",
    "data:;base64,!", "data:;base64,/w==", "op://a", "nsc://a/b", "$HOME/x", "~x/y", "~", "",
    "nats://a,b", "\u00fb\ua94e", "\x00", "a\nb", 7, -1.5, 1e999, True, None, ["x"], {"a": 1},
]  # fmt: skip
KEYS = [
    "url", "user", "password", "token", "creds", "nkey", "user_jwt", "user_seed", "cert", "key",
    "ca", "tls_first", "inbox_prefix", "socks_proxy", "nsc", "description", "color_scheme",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_context_of_odd_values_is_read_or_refused_in_one_sentence(home: Home, key: str) -> None:
    for value in ODD:
        for rest in ({}, {"url": "nats://h"}, {"user": "u"}, {"cert": "c"}):
            home.context("odd", **{**rest, key: value})
            try:
                home.destination(Flags(context="odd"))
            except ConfigError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "null", "{", "[" * 100_000, "", "\x00"])
def test_a_context_that_is_no_object_is_refused(home: Home, text: str) -> None:
    home.context("odd").write_text(text)
    with pytest.raises(ConfigError, match="context 'odd'"):
        home.destination(Flags(context="odd"))


@pytest.mark.parametrize("name", [*(v for v in ODD if isinstance(v, str) and v), "..", "../c", "."])
def test_any_name_of_a_context_is_read_or_refused(home: Home, name: str) -> None:
    for spelled in (name, f"{name}.json", f"~nobody/{name}.json"):
        with pytest.raises(ConfigError):
            home.destination(Flags(context=spelled))


def test_a_selection_that_is_no_text_is_refused(home: Home) -> None:
    (home.folder / "nats").mkdir()
    (home.folder / "nats" / "context.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="selected context"):
        home.destination()


@pytest.mark.parametrize(
    "text", ["-" * 200_000, "BEGIN" + "JWT" * 70_000, "BEGIN JWT" + "\n" * 200_000]
)
def test_credentials_in_a_variable_take_no_time_to_read(home: Home, text: str) -> None:
    home.context("c", creds="env://CREDS")
    with pytest.raises(ConfigError, match="creds hold no user JWT"):
        home.destination(Flags(context="c"), CREDS=text)

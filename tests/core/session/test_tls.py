"""TLS: asked for, it is there and verified, or nothing is said at all."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from natsrpc.core import Connection, Options, connect
from natsrpc.core.servers.pool import parse_server
from natsrpc.core.session.tls import TlsPolicy
from natsrpc.core.wire import ServerInfo
from natsrpc.errors import (
    ConfigError,
    ConnectError,
    NoServersError,
    SecureConnectionRequiredError,
    SecureConnectionUnavailableError,
    TLSError,
)
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import Frame, Peer, ScriptedServer, eventually, no_leaks

live = pytest.mark.usefixtures("nats_server")

QUICK: dict[str, Any] = {
    "reconnect_wait": 0.01, "reconnect_jitter": 0.0, "reconnect_jitter_tls": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Pki:
    """Files of a private authority, of a stranger's, and certificates of the former."""

    folder: Path
    ca: Path
    other_ca: Path
    server: Path
    named: Path  # for localhost only, no address
    client: Path

    def serving(self, which: Path | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(which or self.server)
        return context

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    def config(self, more: str = "", *, cert: Path | None = None) -> str:
        """A server's `tls` block."""
        cert = cert or self.server
        return (
            f'tls {{ cert_file: "{cert}", key_file: "{cert}", ca_file: "{self.ca}", '
            f"timeout: 2, {more} }}\n"
        )


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "other-ca.pem")
    for name, certificate in {
        "server": authority.issue_cert("localhost", "127.0.0.1"),
        "named": authority.issue_cert("localhost"),
        "client": authority.issue_cert("client@example.com", common_name="client"),
    }.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return Pki(
        folder, *(folder / f"{n}.pem" for n in ("ca", "other-ca", "server", "named", "client"))
    )


def here(server: NatsServer | ScriptedServer, scheme: str = "tls", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{server.port}"


def version_of(nc: Connection) -> str | None:
    """The TLS version spoken, None if none is."""
    session = nc.link.session
    assert session is not None
    ssl_object = session.transport._socket.get_extra_info("ssl_object")  # type: ignore[union-attr]  # noqa: SLF001
    return ssl_object.version() if ssl_object is not None else None


# the private authority


@live
@pytest.mark.parity("T2", "T3", "T4")
async def test_each_way_of_trusting_an_authority_of_ones_own(pki: Pki) -> None:
    async with NatsServer(pki.config()) as server:
        ways: list[tuple[str, dict[str, Any]]] = [
            (here(server), {"tls_ca": pki.ca}),
            (here(server, "nats"), {"tls_ca": str(pki.ca)}),
            (here(server, "nats"), {"tls_ca": [pki.other_ca, pki.ca]}),
            (here(server, "nats"), {"tls": True, "tls_ca": pki.ca}),
            (here(server, "nats"), {"tls": pki.trusting()}),
            (here(server, host="localhost"), {"tls_ca": pki.ca}),
            (f"127.0.0.1:{server.port}", {"tls_ca": pki.ca, "tls_hostname": "localhost"}),
        ]
        for url, options in ways:
            async with connect(url, **options) as nc:
                await nc.flush()
                assert version_of(nc) == "TLSv1.3"
                assert nc.server_info is not None
                assert nc.server_info.tls_required


@live
@pytest.mark.parity("T1", "T4", "T6", "T7")
@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("tls", {}),
        ("nats", {"tls": True}),
        ("nats", {}),
        ("nats", {"tls_ca": "other-ca.pem"}),
        ("nats", {"tls_hostname": "localhost"}),
    ],
)
async def test_an_authority_that_is_not_trusted_is_refused(
    pki: Pki, scheme: str, options: dict[str, Any]
) -> None:
    """Also where only the server asked for TLS: what it asks for is verified."""
    if "tls_ca" in options:
        options = {"tls_ca": pki.folder / options["tls_ca"]}
    async with NatsServer(pki.config()) as server, no_leaks():
        with pytest.raises(TLSError, match=r"self.signed|issuer") as caught:
            await connect(here(server, scheme), **options)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert caught.value.server == here(server, scheme)


@live
@pytest.mark.parity("T7")
async def test_a_server_that_requires_tls_gets_it_unasked(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    async with NatsServer(pki.config()) as server:
        async with connect(here(server, "nats")) as nc:
            assert version_of(nc) == "TLSv1.3"
        async with connect(here(server), tls=True) as nc:
            assert version_of(nc) == "TLSv1.3"


@live
@pytest.mark.parity("T1")
async def test_only_an_explicit_option_skips_verification_and_it_is_logged(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async with NatsServer(pki.config(cert=pki.named)) as server:
        async with connect(here(server), tls_ca=pki.ca, tls_hostname="localhost"):
            pass
        assert caplog.records == []
        async with connect(here(server, "nats"), tls_verify=False) as nc:
            assert version_of(nc) == "TLSv1.3"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "without verification" in record.getMessage()


@live
@pytest.mark.parity("T2", "T6")
async def test_a_certificate_for_another_name_is_refused(pki: Pki) -> None:
    async with NatsServer(pki.config(cert=pki.named)) as server:
        ways: list[dict[str, Any]] = [{"tls_ca": pki.ca}, {"tls": pki.trusting()}]
        for options in ways:
            with pytest.raises(TLSError, match=r"127\.0\.0\.1"):
                await connect(here(server), **options)
        with pytest.raises(TLSError, match=r"example\.org"):
            await connect(here(server, host="localhost"), tls_ca=pki.ca, tls_hostname="example.org")
        async with connect(here(server, host="localhost"), tls_ca=pki.ca) as nc:
            await nc.flush()


# client certificates


@live
@pytest.mark.parity("T5")
async def test_a_client_certificate_says_who_we_are(pki: Pki) -> None:
    users = 'authorization { users: [ {user: "client@example.com"} ] }'
    async with NatsServer(pki.config("verify_and_map: true") + users) as server:
        certificate = (pki.client, str(pki.client))
        async with connect(here(server, "nats"), tls_ca=pki.ca, tls_cert=certificate) as nc:
            await nc.flush()


@live
@pytest.mark.parity("T5", "E20")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_missing_is_a_tls_error(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3 the refusal comes behind our side of the handshake."""
    context = pki.trusting()
    context.minimum_version = context.maximum_version = version
    async with NatsServer(pki.config("verify: true")) as server, no_leaks():
        for _ in range(5):
            with pytest.raises(TLSError) as caught:
                await connect(here(server), tls=context)
            assert caught.value.server == here(server)


@pytest.mark.parity("T5")
async def test_a_server_that_resets_behind_the_handshake_is_a_tls_error(pki: Pki) -> None:
    """So it looks where the alert that our certificate is missing is lost on the way."""

    def reset(peer: Peer, frame: Frame) -> None:
        peer.reset()

    def hang_up(peer: Peer, frame: Frame) -> None:
        peer.close()

    for answer, kind in ((reset, TLSError), (hang_up, ConnectError)):
        async with ScriptedServer(tls=pki.serving(), auto_pong=False) as server:
            server.listeners.append(answer)
            with pytest.raises(ConnectError) as caught:
                await connect(server.url, tls_ca=pki.ca)
            error = caught.value
            first = error.attempts[0][1] if isinstance(error, NoServersError) else error
            assert type(first) is kind


def encrypted(pki: Pki, folder: Path) -> Path:
    key = load_pem_private_key(pki.client.read_bytes(), None)
    path = folder / "encrypted.pem"
    path.write_bytes(
        key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")
        )
    )
    return path


@pytest.mark.parity("T4", "T5")
async def test_files_that_cannot_be_loaded_are_refused_before_dialing(
    pki: Pki, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    text = pki.client.read_text()
    key_line = text.splitlines()[1]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tls_ca": tmp_path / "none.pem"}, r"none\.pem' cannot be loaded: No such file"),
        ({"tls_ca": junk}, r"junk\.pem' cannot be loaded"),
        ({"tls_ca": [pki.ca, junk]}, r"junk\.pem' cannot be loaded"),
        ({"tls_ca": tmp_path}, "cannot be loaded"),
        ({"tls_ca": "a\0b"}, "cannot be loaded"),
        ({"tls_cert": (tmp_path / "none.pem", pki.client)}, "No such file"),
        ({"tls_cert": (junk, junk)}, "cannot be loaded"),
        ({"tls_cert": (pki.client, pki.server)}, "key values mismatch"),
        ({"tls_cert": (pki.client, encrypted(pki, tmp_path))}, "the key is encrypted"),
        ({"tls_cert": (text, text)}, "text of a file instead of its path"),
    ]
    async with ScriptedServer() as server:
        for options, told in cases:
            with pytest.raises(ConfigError, match=told) as caught:
                await connect(server.url, **options)
            said = f"{caught.value}{caught.value.__context__}{caught.value.__cause__}"
            assert key_line not in said
        assert server.peers == []


# who wants it, who has it


@live
@pytest.mark.parity("T7", "E2", "E3")
async def test_tls_on_one_side_only(pki: Pki) -> None:
    async with NatsServer(pki.config()) as server:
        with pytest.raises(SecureConnectionRequiredError) as required:
            await connect(here(server, "nats"), tls=False)
        assert required.value.server == here(server, "nats")
    async with NatsServer() as server:
        asked: list[tuple[str, dict[str, Any]]] = [
            (here(server), {}),
            (here(server, "nats"), {"tls": True}),
            (here(server, "nats"), {"tls": pki.trusting()}),
            (here(server, "nats"), {"tls_ca": pki.ca}),
            (here(server, "nats"), {"tls_cert": (pki.client, pki.client)}),
            (here(server, "nats"), {"tls_verify": False}),
            (here(server, "nats"), {"tls_hostname": "localhost"}),
        ]
        for url, options in asked:
            with pytest.raises(SecureConnectionUnavailableError):
                await connect(url, **options)


@live
@pytest.mark.parity("T7")
async def test_a_server_that_offers_both_gives_what_was_asked_for(pki: Pki) -> None:
    async with NatsServer("allow_non_tls: true\n" + pki.config()) as server:
        async with connect(here(server, "nats")) as nc:
            assert version_of(nc) is None
        async with connect(here(server, "nats"), tls=False) as nc:
            assert version_of(nc) is None
        async with connect(here(server, "nats"), tls_ca=pki.ca) as nc:
            assert version_of(nc) == "TLSv1.3"


async def test_nothing_is_sent_to_a_server_that_lost_its_tls(pki: Pki) -> None:
    """A downgrade, at the first connect and at a reconnect: no CONNECT, so no password."""
    options: dict[str, Any] = {"tls_ca": pki.ca, "user": "u", "password": "p", **QUICK}
    async with ScriptedServer() as server:
        with pytest.raises(SecureConnectionUnavailableError):
            await connect(server.url, **options)
        await eventually(server.peers[0].closed.is_set)
        assert server.peers[0].received == b""
    failures: list[Exception] = []
    async with ScriptedServer(tls=pki.serving()) as server:
        async with connect(
            server.url, **options, on_reconnect_error=lambda nc, error: failures.append(error)
        ):
            peer = await server.accept()
            server._tls = None  # noqa: SLF001  the scripted server has no word for it
            peer.close()
            await eventually(lambda: len(failures) >= 2)
            assert {type(error) for error in failures} == {SecureConnectionUnavailableError}
        assert all(peer.received == b"" for peer in server.peers[1:])


@pytest.mark.parametrize("behind", [b"PING\r\n", b"-ERR 'x'\r\n", b"PI", b"\x00", b"INFO {}\r\n"])
async def test_plain_text_between_info_and_the_handshake_ends_the_attempt(
    pki: Pki, behind: bytes
) -> None:
    async with ScriptedServer(handshake=False) as server, no_leaks():

        async def inject() -> None:
            peer = await server.accept()
            peer.send(b'INFO {"server_id":"x","tls_required":true} \r\n' + behind)

        task = asyncio.create_task(inject())
        with pytest.raises(TLSError, match="plain text between INFO and the TLS handshake"):
            await connect(server.url, tls_ca=pki.ca)
        await task
        assert server.peers[0].received == b""
        server.violations.clear()


async def test_plain_text_during_the_handshake_ends_the_attempt(pki: Pki) -> None:
    async with ScriptedServer(handshake=False) as server:

        async def inject() -> None:
            peer = await server.accept()
            peer.send(b'INFO {"server_id":"x","tls_required":true} \r\n')
            await eventually(lambda: peer.received or server.violations)
            if not peer.closed.is_set():
                peer.send(b"PONG\r\n")

        server.violations.clear()
        task = asyncio.create_task(inject())
        with pytest.raises(TLSError):
            await connect(server.url, tls_ca=pki.ca)
        await task
        server.violations.clear()


@pytest.mark.parity("T6", "C8")
async def test_a_handshake_that_stalls_is_over_with_the_timeout(pki: Pki) -> None:
    async with no_leaks(), ScriptedServer(handshake=False) as server:
        connecting = asyncio.ensure_future(
            connect(server.url, tls_ca=pki.ca, connect_timeout=0.4).__aenter__()
        )
        await eventually(lambda: server.peers)
        server.peers[0].stall()
        server.peers[0].info(tls_required=True)
        with pytest.raises(NoServersError, match="while in the TLS handshake"):
            await connecting


async def test_what_was_said_before_tls_of_other_servers_is_not_believed(pki: Pki) -> None:
    """Only addresses that will be checked against the name the user gave; more once it comes
    through TLS."""
    gossip = ["evil.example:4222", "127.0.0.1:9"]
    async with ScriptedServer(tls=pki.serving(), info={"connect_urls": gossip}) as server:
        url = here(server, "nats", "localhost")
        async with connect(url, tls_ca=pki.ca) as nc:
            peer = await server.accept()
            assert nc.discovered_servers == ["nats://127.0.0.1:9"]
            peer.info(tls_required=True)
            await peer.synced()
            assert sorted(nc.discovered_servers) == [
                "nats://127.0.0.1:9",
                "nats://evil.example:4222",
            ]


# TLS first


@live
@pytest.mark.parity("L-tls-first")
async def test_tls_before_info(pki: Pki) -> None:
    first: dict[str, Any] = {"tls_ca": pki.ca, "tls_handshake_first": True}
    async with NatsServer(pki.config("handshake_first: true")) as server:
        async with connect(here(server, "nats"), **first) as nc:
            await nc.flush()
            assert version_of(nc) == "TLSv1.3"
        with pytest.raises(NoServersError, match="use tls_handshake_first=True"):
            await connect(here(server), tls_ca=pki.ca, connect_timeout=0.5)
        with pytest.raises(TLSError, match=r"self.signed|issuer"):
            await connect(here(server, "nats"), tls_handshake_first=True)
    async with NatsServer(pki.config("handshake_first: auto")) as server:
        either: list[dict[str, Any]] = [first, {"tls_ca": pki.ca}]
        for options in either:
            async with connect(here(server), **options) as nc:
                await nc.flush()
                assert version_of(nc) == "TLSv1.3"


@live
@pytest.mark.parity("L-tls-first")
async def test_tls_before_info_with_a_server_that_sends_info_first(pki: Pki) -> None:
    async with NatsServer() as server, no_leaks():
        with pytest.raises(TLSError, match="handshake_first"):
            await connect(here(server), tls_ca=pki.ca, tls_handshake_first=True)


@pytest.mark.parity("C9", "L-tls-first")
async def test_a_dialer_of_ones_own_gets_tls_on_top_of_it(pki: Pki) -> None:
    async def dial(make: Any, host: str, port: int) -> Any:
        assert (host, port) == ("localhost", 1)
        return await asyncio.get_running_loop().create_connection(make, "127.0.0.1", server.port)

    for first in (False, True):
        async with (
            ScriptedServer(tls=pki.serving(pki.named), tls_first=first) as server,
            connect(
                "tls://localhost:1", dialer=dial, tls_ca=pki.ca, tls_handshake_first=first
            ) as nc,
        ):
            assert version_of(nc) == "TLSv1.3"


# over reconnects and in clusters


@live
@pytest.mark.parity("T8")
async def test_a_reconnect_is_a_new_handshake(pki: Pki) -> None:
    back = asyncio.Event()
    async with (
        NatsServer(pki.config()) as server,
        connect(here(server), tls_ca=pki.ca, on_reconnect=lambda nc: back.set(), **QUICK) as nc,
    ):
        await asyncio.to_thread(server.restart)
        await asyncio.wait_for(back.wait(), 5)
        assert version_of(nc) == "TLSv1.3"
        await nc.flush()


@live
@pytest.mark.parity("T8", "D1")
async def test_a_gossiped_address_is_verified_by_the_name_first_dialed(pki: Pki) -> None:
    """The certificate holds the name localhost alone, and the cluster gossips 127.0.0.1."""
    back = asyncio.Event()
    async with Cluster(2, pki.config(cert=pki.named)) as cluster:
        first, second = cluster.servers
        async with connect(
            here(first, host="localhost"),
            tls_ca=pki.ca,
            on_reconnect=lambda nc: back.set(),
            **QUICK,
        ) as nc:
            await eventually(lambda: f"tls://127.0.0.1:{second.port}" in nc.discovered_servers)
            await asyncio.to_thread(first.kill)
            await asyncio.wait_for(back.wait(), 5)
            assert nc.connected_url == f"tls://127.0.0.1:{second.port}"
            assert version_of(nc) == "TLSv1.3"


@live
@pytest.mark.parity("T6", "B11")
async def test_a_handshake_that_fails_at_a_reconnect_is_a_failed_attempt(pki: Pki) -> None:
    failures: list[Exception] = []
    async with (
        NatsServer(pki.config()) as server,
        connect(
            here(server),
            tls_ca=pki.ca,
            on_reconnect_error=lambda nc, error: failures.append(error),
            **QUICK,
        ) as nc,
    ):
        server.config = pki.config(cert=pki.named)
        await asyncio.to_thread(server.restart)
        await eventually(lambda: any(isinstance(error, TLSError) for error in failures))
        assert nc.is_reconnecting


@live
@pytest.mark.parity("T8")
async def test_renewed_certificates_are_used_at_the_next_handshake(
    pki: Pki, tmp_path: Path
) -> None:
    """The authority, the server's certificate and the client's are all new; the paths stay."""
    files = renewed(tmp_path)
    back = asyncio.Event()
    async with (
        NatsServer(mutual(files)) as server,
        connect(
            here(server),
            tls_ca=files / "ca.pem",
            tls_cert=(files / "client.pem", files / "client.pem"),
            on_reconnect=lambda nc: back.set(),
            **QUICK,
        ) as nc,
    ):
        renewed(tmp_path)
        await asyncio.to_thread(server.restart)
        await asyncio.wait_for(back.wait(), 5)
        await nc.flush()


@live
async def test_files_that_cannot_be_read_for_a_while_are_failed_attempts(tmp_path: Path) -> None:
    files = renewed(tmp_path)
    back, failures = asyncio.Event(), list[Exception]()
    async with (
        NatsServer(mutual(files)) as server,
        connect(
            here(server),
            tls_ca=files / "ca.pem",
            tls_cert=(files / "client.pem", files / "client.pem"),
            on_reconnect=lambda nc: back.set(),
            on_reconnect_error=lambda nc, error: failures.append(error),
            max_reconnect_attempts=-1,
            **QUICK,
        ) as nc,
    ):
        for name, told in (("ca.pem", "tls_ca"), ("client.pem", "tls_cert")):
            whole = (files / name).read_bytes()
            (files / name).write_bytes(whole[: len(whole) // 2])  # it is being written
            failures.clear()
            await nc.force_reconnect()
            await eventually(lambda told=told: is_told(failures, told))  # type: ignore[misc]
            assert nc.is_reconnecting
            back.clear()
            (files / name).write_bytes(whole)
            await asyncio.wait_for(back.wait(), 5)


def is_told(failures: list[Exception], told: str) -> bool:
    return any(isinstance(error, ConfigError) and told in str(error) for error in failures)


def renewed(folder: Path) -> Path:
    """A new authority with a server's and a client's certificate, in the same files."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, certificate in {
        "server": authority.issue_cert("localhost", "127.0.0.1"),
        "client": authority.issue_cert("client@example.com", common_name="client"),
    }.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder


def mutual(folder: Path) -> str:
    server, ca = folder / "server.pem", folder / "ca.pem"
    return (
        f'tls {{ cert_file: "{server}", key_file: "{server}", ca_file: "{ca}", verify: true, '
        "timeout: 2 }"
    )


async def test_a_certificate_whose_name_is_its_common_name_alone_is_refused(
    tmp_path: Path,
) -> None:
    """Names of hosts stand in the SAN; an authority may have checked the CN for nothing."""
    whole, alone = tmp_path / "whole.pem", tmp_path / "cert.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    ).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    whole.write_bytes(secret + certificate)
    alone.write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(whole)
    async with ScriptedServer(tls=context) as server:
        with pytest.raises(TLSError):
            await connect(f"tls://localhost:{server.port}", tls_ca=alone)
        assert all(b"CONNECT" not in peer.received for peer in server.peers)


async def test_tls_that_only_the_server_asked_for_is_kept_once_had(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody on the way can take it off at the next reconnect, and read the password."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    failures: list[Exception] = []
    async with (
        ScriptedServer(tls=pki.serving()) as server,
        connect(
            f"nats://u:hunter2@localhost:{server.port}",
            on_reconnect_error=lambda nc, error: failures.append(error),
            **QUICK,
        ),
    ):
        peer = await server.accept()
        server._tls = None  # noqa: SLF001  the scripted server has no word for it
        peer.close()
        await eventually(lambda: len(failures) >= 2)
        assert {type(error) for error in failures} == {SecureConnectionUnavailableError}
        assert all(peer.received == b"" for peer in server.peers[1:])


# the policy


def policy(scheme: str = "nats", **options: Any) -> TlsPolicy:
    return TlsPolicy(Options.of(options), scheme=scheme)


@pytest.mark.parity("T3")
async def test_a_tls_url_makes_the_whole_pool_tls(pki: Pki) -> None:
    async with ScriptedServer() as plain, ScriptedServer() as other:
        with pytest.raises(SecureConnectionUnavailableError):
            await connect([plain.url, here(other)], tls_ca=pki.ca)
        for server in (plain, other):
            assert server.peers
            assert server.peers[0].received == b""


def test_tls_is_at_least_1_2_and_verifies(pki: Pki) -> None:
    for given in (policy(), policy(tls=True), policy(tls_ca=pki.ca), policy("tls")):
        assert given.context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert given.context.verify_mode is ssl.CERT_REQUIRED
        assert given.context.check_hostname
    own = pki.trusting()
    assert policy(tls=own).context is own
    assert not policy().wanted
    with pytest.raises(ConfigError, match="contradicts a tls:// server URL"):
        policy("tls", tls=False)


def test_the_name_to_verify() -> None:
    server = parse_server("tls://10.0.0.1")
    assert policy().hostname(server) == "10.0.0.1"
    server.tls_name = "db.example"
    assert policy().hostname(server) == "db.example"
    assert policy(tls_hostname="x").hostname(server) == "x"
    server.host = "other.example"
    assert policy().hostname(server) == "other.example"


@pytest.mark.parity("T7")
@pytest.mark.parametrize(
    ("wanted", "info", "upgrade"),
    [
        (True, ServerInfo(tls_required=True), True),
        (True, ServerInfo(tls_available=True), True),
        (True, ServerInfo(), SecureConnectionUnavailableError),
        (None, ServerInfo(tls_required=True), True),
        (None, ServerInfo(tls_available=True), False),
        (None, ServerInfo(), False),
        (False, ServerInfo(tls_required=True), SecureConnectionRequiredError),
        (False, ServerInfo(tls_available=True), False),
    ],
)
def test_what_both_sides_say_decides(
    wanted: bool | None, info: ServerInfo, upgrade: bool | type[ConnectError]
) -> None:
    decide = policy(tls=wanted).upgrade_wanted
    server = parse_server("h")
    if isinstance(upgrade, bool):
        assert decide(info, server) is upgrade
    else:
        with pytest.raises(upgrade):
            decide(info, server)

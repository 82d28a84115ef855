"""TLS: the server's certificate, client certificates, and their replacement by a reload."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from sqlalchemy_pool_exporter.server.limits import Limits
from tests.exporter.waiting import wait_for
from tests.exporter.web.serving import Served, build_guarded_app, serve, write_web_config
from tests.servers.tls import Authority, Certificates

pytestmark = pytest.mark.anyio

REFUSED = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Certificates:
    return authority.sign(tmp_path / "server")


def describe_tls(server: Certificates, **keys: Any) -> dict[str, Any]:
    own = {"cert_file": str(server.certificate), "key_file": str(server.key)}
    return {"tls_server_config": own | keys}


def want_clients(server: Certificates, authority: Certificates, **keys: Any) -> dict[str, Any]:
    keys.setdefault("client_auth_type", "RequireAndVerifyClientCert")
    return describe_tls(server, client_ca_file=str(authority.authority), **keys)


async def ask(served: Served, context: ssl.SSLContext | None, path: str = "/-/healthy") -> int:
    async with served.open_client(context) as client:
        return (await client.get(path)).status_code


async def read_certificate(served: Served, server: Certificates) -> bytes:
    """What a new connection is shown."""
    async with served.connect(server.build_client_context()) as connection:
        shown: ssl.SSLObject = connection.writer.get_extra_info("ssl_object")
        certificate = shown.getpeercert(binary_form=True)
    assert certificate
    return certificate


def read_file(server: Certificates) -> bytes:
    return ssl.PEM_cert_to_DER_cert(server.certificate.read_text())


async def test_with_tls_only_tls_is_answered(server: Certificates, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with serve(build_guarded_app(file)) as served:
        assert await ask(served, server.build_client_context()) == 200
        with pytest.raises(REFUSED):
            await ask(served, None)


async def test_pages_have_no_link_that_leaves_tls(server: Certificates, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(server.build_client_context()) as client,
    ):
        for path in ("/", "/nowhere", "/health/db"):
            answer = await client.get(path)
            assert "http://" not in answer.text
            assert "location" not in answer.headers


async def test_clients_that_speak_http2_are_answered_in_http1(
    server: Certificates, tmp_path: Path
) -> None:
    context = server.build_client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    file = write_web_config(
        tmp_path, {**describe_tls(server), "http_server_config": {"http2": True}}
    )
    async with serve(build_guarded_app(file)) as served, served.connect(context) as connection:
        shown: ssl.SSLObject = connection.writer.get_extra_info("ssl_object")
        assert shown.selected_alpn_protocol() == "http/1.1"


async def test_versions_and_ciphers_are_those_of_the_file(
    server: Certificates, tmp_path: Path
) -> None:
    tls = describe_tls(
        server,
        max_version="TLS12",
        cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
        curve_preferences=["CurveP384"],
    )
    async with (
        serve(build_guarded_app(write_web_config(tmp_path, tls))) as served,
        served.connect(server.build_client_context()) as connection,
    ):
        shown: ssl.SSLObject = connection.writer.get_extra_info("ssl_object")
        assert shown.version() == "TLSv1.2"
        assert (shown.cipher() or ("",))[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


async def test_a_client_certificate_of_the_right_authority_is_required(
    server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.sign(tmp_path / "mine", "prometheus")
    wrong = Authority().sign(tmp_path / "wrong", "prometheus")
    file = write_web_config(tmp_path, want_clients(server, mine))
    async with serve(build_guarded_app(file)) as served:
        assert await ask(served, server.build_client_context(mine)) == 200
        for refused in (None, wrong):
            with pytest.raises(REFUSED):
                await ask(served, server.build_client_context(refused))


async def test_a_client_certificate_can_be_its_own_authority(
    server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    mine, other = (authority.sign(tmp_path / name, name) for name in ("mine", "other"))
    tls = want_clients(server, mine)
    tls["tls_server_config"]["client_ca_file"] = str(mine.certificate)
    async with serve(build_guarded_app(write_web_config(tmp_path, tls))) as served:
        assert await ask(served, server.build_client_context(mine)) == 200
        with pytest.raises(REFUSED):
            await ask(served, server.build_client_context(other))


async def test_an_optional_client_certificate_must_not_be_wrong(
    server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.sign(tmp_path / "mine", "prometheus")
    wrong = Authority().sign(tmp_path / "wrong", "prometheus")
    tls = want_clients(server, mine, client_auth_type="VerifyClientCertIfGiven")
    async with serve(build_guarded_app(write_web_config(tmp_path, tls))) as served:
        for accepted in (None, mine):
            assert await ask(served, server.build_client_context(accepted)) == 200
        with pytest.raises(REFUSED):
            await ask(served, server.build_client_context(wrong))


@pytest.mark.parametrize("name", ["prometheus.example", "ops@example.org", "127.0.0.9", "::1"])
async def test_a_client_certificate_needs_an_allowed_name(
    name: str, server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.sign(tmp_path / "mine", name, "another.example")
    other = authority.sign(tmp_path / "other", "another.example")
    tls = want_clients(server, mine, client_allowed_sans=["unknown.example", name])
    async with serve(build_guarded_app(write_web_config(tmp_path, tls))) as served:
        assert await ask(served, server.build_client_context(mine)) == 200
        with pytest.raises(REFUSED):
            await ask(served, server.build_client_context(other))


async def test_a_client_without_a_certificate_has_no_allowed_name(
    server: Certificates, tmp_path: Path
) -> None:
    tls = want_clients(
        server, server, client_auth_type="VerifyClientCertIfGiven", client_allowed_sans=["a"]
    )
    async with serve(build_guarded_app(write_web_config(tmp_path, tls))) as served:
        with pytest.raises(REFUSED):
            await ask(served, server.build_client_context())


async def test_a_reload_shows_a_new_certificate_to_new_connections(
    server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with (
        serve(build_guarded_app(file)) as served,
        served.connect(server.build_client_context()) as old,
    ):
        assert await read_certificate(served, server) == read_file(server)
        authority.sign(tmp_path / "server")
        await served.reload()
        assert await read_certificate(served, server) == read_file(server)
        await old.send(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await old.read_answer())[0] == 200


async def test_an_invalid_certificate_keeps_the_old_one_and_is_one_line(
    server: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    before = read_file(server)
    async with serve(build_guarded_app(file)) as served:
        server.certificate.write_text("nonsense")
        await served.reload()
        assert await read_certificate(served, server) == before
    (line,) = {each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR}
    assert line == (
        "configuration not reloaded: tls_server_config.cert_file "
        f"({file} line 2): got {server.certificate}, expected a certificate in PEM"
    )


async def test_a_missing_key_is_used_once_it_exists(server: Certificates, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, "")
    kept = server.key.rename(tmp_path / "kept")
    async with serve(build_guarded_app(file)) as served:
        write_web_config(tmp_path, describe_tls(server))
        await served.reload()
        assert await ask(served, None) == 200
        assert served.web_policy.list_files() == [file, server.certificate, server.key]
        kept.rename(server.key)
        await served.reload()
        assert await ask(served, server.build_client_context()) == 200


async def test_a_reload_turns_tls_on_and_off(server: Certificates, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, "")
    async with serve(build_guarded_app(file)) as served:
        assert await ask(served, None) == 200
        write_web_config(tmp_path, describe_tls(server))
        await served.reload()
        assert await ask(served, server.build_client_context()) == 200
        write_web_config(tmp_path, "")
        await served.reload()
        assert await ask(served, None) == 200


async def test_a_reload_without_a_change_keeps_the_context(
    server: Certificates, tmp_path: Path
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with serve(build_guarded_app(file)) as served:
        context = served.web_policy.context
        assert not await served.web_policy.reload()
        assert served.web_policy.context is context


async def test_a_handshake_that_never_comes_ends_at_its_deadline(
    server: Certificates, tmp_path: Path
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with (
        serve(build_guarded_app(file), Limits(handshake_seconds=0.1)) as served,
        served.connect() as mute,
    ):
        assert await mute.read_end() == b""


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 99]
)
async def test_nonsense_instead_of_a_handshake_is_at_most_one_warning(
    nonsense: bytes, server: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with serve(build_guarded_app(file)) as served:
        for _ in range(3):
            async with served.connect() as connection:
                await connection.send(nonsense)
                connection.writer.write_eof()
                await connection.read_end()
        assert await ask(served, server.build_client_context()) == 200
    lines = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(lines) <= 1
    assert not any(each.exc_info for each in lines)


async def test_open_connections_do_not_hold_up_the_exit(
    server: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_web_config(tmp_path, describe_tls(server))
    async with (
        serve(build_guarded_app(file)) as served,
        served.connect() as mute,
        served.connect(server.build_client_context()) as idle,
    ):
        await idle.send(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle.read_answer())[0] == 200
        idle.writer.transport.pause_reading()  # type: ignore[attr-defined] # no goodbye from it
        served.server.should_exit = True
        assert await mute.read_end() == b""
        await wait_for(lambda: not served.connections)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]

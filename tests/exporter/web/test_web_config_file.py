"""The option --web.config.file, as people and Kubernetes use it: real processes."""

from __future__ import annotations

import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import bcrypt
import httpx
import pytest

from sqlalchemy_pool_exporter.web_config import read_web_file
from tests.exporter.commands import RunningExporter, run_command, run_exporter
from tests.servers.tls import Authority, Certificates

CANARY = "cAnArY-7"
EXAMPLE = Path(__file__).parents[3] / "config" / "web.example.yaml"
SETTINGS = {"DATABASES__SHOP__URL": "sqlite://"}
TLS = "tls_server_config: {cert_file: tls/cert.pem, key_file: tls/key.pem}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


def write(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text)
    return file


def ask(exporter: RunningExporter, context: ssl.SSLContext, **options: str) -> int:
    host, port = exporter.address
    auth = (options["user"], options["password"]) if options else None
    url = f"https://{host}:{port}/metrics"
    return httpx.get(url, verify=context, auth=auth, timeout=60).status_code


def read_certificate(exporter: RunningExporter, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(exporter.address) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    assert certificate
    return ssl.DER_cert_to_PEM_cert(certificate)


def test_a_file_that_kubernetes_replaces_is_used_without_a_restart(
    log: Path, tmp_path: Path
) -> None:
    """All files are links through `..data`, and that is what is renamed over."""
    authority = Authority()

    def mount(name: str, password: str) -> Certificates:
        folder = tmp_path / name
        folder.mkdir()
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        write(folder, f"{TLS}basic_auth_users: {{ops: {hashed}}}\n")
        signed = authority.sign(folder / "tls")
        (tmp_path / "..new").symlink_to(name)
        (tmp_path / "..new").rename(tmp_path / "..data")
        return signed

    first = mount("..first", "old")
    for name in ("web.yml", "tls"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    arguments = ("--web.config.file", str(tmp_path / "web.yml"))
    with run_exporter(log, *arguments, settings=SETTINGS) as exporter:
        context = first.build_client_context()
        assert read_certificate(exporter, context) == first.certificate.read_text()
        assert ask(exporter, context, user="ops", password="old") == 200
        second = mount("..second", "new")
        exporter.wait_for_log("configuration reloaded: web configuration")
        assert read_certificate(exporter, context) == second.certificate.read_text()
        assert ask(exporter, context, user="ops", password="new") == 200
        assert ask(exporter, context, user="ops", password="old") == 401
        second.key.unlink()
        exporter.wait_for_log("configuration not reloaded")
        assert ask(exporter, context, user="ops", password="new") == 200
        assert exporter.stop() == 0
    assert "Traceback" not in log.read_text()


def test_an_invalid_file_keeps_the_exporter_from_starting(tmp_path: Path) -> None:
    file = write(tmp_path, f"{TLS}basic_auth_users: {{ops: {CANARY}}}\n")
    ended = run_command("--web.config.file", str(file), "--listen", "127.0.0.1:0",
                        settings=SETTINGS)  # fmt: skip
    assert ended.returncode == 1
    assert f"basic_auth_users.ops ({file} line 2): got text, expected a bcrypt" in ended.stderr
    assert CANARY not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_check_config_checks_the_file(tmp_path: Path) -> None:
    config = tmp_path / "exporter.yaml"
    config.write_text("databases: {shop: {url: 'sqlite://'}}")
    file = write(tmp_path, TLS)
    arguments = ("check-config", str(config), "--web.config.file", str(file))
    ended = run_command(*arguments)
    assert ended.returncode == 1
    assert ended.stdout == "".join(
        f"tls_server_config.{key}_file ({file} line 1): got {tmp_path}/tls/{key}.pem, "
        "expected a readable file (no such file or directory)\n"
        for key in ("cert", "key")
    )
    Authority().sign(tmp_path / "tls")
    assert run_command(*arguments).stdout == "configuration is valid: 1 database\n"


def test_syntax_only_reads_no_certificate(tmp_path: Path) -> None:
    config = tmp_path / "exporter.yaml"
    config.write_text("databases: {shop: {url: 'sqlite://'}}")
    arguments = ("check-config", "--syntax-only", str(config), "--web.config.file")
    missing = run_command(*arguments, str(tmp_path / "missing.yml"))
    right = run_command(*arguments, str(write(tmp_path, TLS)))
    wrong = run_command(*arguments, str(write(tmp_path, "tls_sever_config: {}\n")))
    assert (missing.returncode, right.returncode, wrong.returncode) == (0, 0, 1)
    assert wrong.stdout.startswith(f"tls_sever_config ({tmp_path}/web.yml line 1): unknown key")


def test_an_option_without_a_value_means_no_file(log: Path) -> None:
    with (
        run_exporter(log, "--web.config.file=", settings=SETTINGS) as exporter,
        exporter.open_client() as client,
    ):
        assert client.get("/-/healthy").status_code == 200


def test_a_hanging_handshake_does_not_hold_up_the_exit(log: Path, tmp_path: Path) -> None:
    Authority().sign(tmp_path / "tls")
    arguments = ("--web.config.file", str(write(tmp_path, TLS)))
    with (
        run_exporter(log, *arguments, settings=SETTINGS) as exporter,
        socket.create_connection(exporter.address) as mute,
        socket.create_connection(exporter.address) as half,
    ):
        half.sendall(b"\x16\x03\x01")
        assert exporter.stop() == 0, "it ended by itself, before the countdown"
        with suppress(ConnectionResetError):  # it had not been accepted yet
            assert mute.recv(1) == b""
    assert "Traceback" not in log.read_text()


def test_sighup_reloads_the_file(log: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "")
    with (
        run_exporter(log, "--web.config.file", str(file), settings=SETTINGS) as exporter,
        exporter.open_client() as client,
    ):
        assert "x-frame-options" not in client.get("/").headers
        write(tmp_path, "http_server_config: {headers: {X-Frame-Options: deny}}")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration reloaded: web configuration")
        assert client.get("/").headers["x-frame-options"] == "deny"


def test_the_example_is_valid(tmp_path: Path) -> None:
    signed = Authority().sign(tmp_path / "tls")
    signed.certificate.rename(tmp_path / "tls" / "tls.crt")
    signed.key.rename(tmp_path / "tls" / "tls.key")
    signed.authority.rename(tmp_path / "tls" / "ca.crt")
    file = read_web_file(write(tmp_path, EXAMPLE.read_text()))
    assert file.build_context() is not None
    password = file.config.basic_auth_users["prometheus"].get_secret_value()
    assert bcrypt.checkpw(b"change-me", password.encode())

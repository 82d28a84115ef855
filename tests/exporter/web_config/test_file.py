"""Web configurations are read, and every mistake in them is one line without secrets."""

from __future__ import annotations

import ssl
import textwrap
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sqlalchemy_pool_exporter.settings import SettingsErrors
from sqlalchemy_pool_exporter.web_config import read_web_file
from sqlalchemy_pool_exporter.web_config.tls import ALWAYS_ON, CURVES, SUITES
from tests.servers.tls import Certificates, write_certificates

HASH = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
SECRET = "cAnArY-7"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def folder(tmp_path: Path, certificates: Certificates) -> Path:
    """Holds server.crt, server.key and ca.pem, as the file names them."""
    (tmp_path / "server.crt").write_bytes(certificates.certificate.read_bytes())
    (tmp_path / "server.key").write_bytes(certificates.key.read_bytes())
    (tmp_path / "ca.pem").write_bytes(certificates.authority.read_bytes())
    return tmp_path


TLS = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text)
    return file


def build(folder: Path, text: str) -> ssl.SSLContext | None:
    return read_web_file(write(folder, text)).build_context()


def find_mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsErrors) as caught:
        build(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    "text", ["", "---", "# nothing", "{}", "tls_server_config:\nhttp_server_config:\n  headers:"]
)
def test_an_empty_file_asks_for_nothing(text: str, folder: Path) -> None:
    file = read_web_file(write(folder, text))
    assert file.build_context() is None
    assert file.config.basic_auth_users == {}
    assert file.list_files() == [file.path]


def test_paths_are_relative_to_the_web_configuration(folder: Path) -> None:
    file = read_web_file(write(folder, f"{TLS}  client_ca_file: /etc/ssl/ca.pem\n"
                               "  client_auth_type: RequireAndVerifyClientCert"))  # fmt: skip
    names = ["web.yml", "server.crt", "server.key", "/etc/ssl/ca.pem"]
    assert file.list_files() == [folder / name for name in names]
    assert build(folder, TLS)


def test_certificate_and_key_may_be_inline(folder: Path, certificates: Certificates) -> None:
    inline = {"cert": certificates.certificate, "key": certificates.key,
              "client_ca": certificates.authority}  # fmt: skip
    lines = [f"  {key}: |\n{textwrap.indent(file.read_text(), '    ')}"
             for key, file in inline.items()]  # fmt: skip
    text = "\n".join(["tls_server_config:", *lines, "  client_auth_type: VerifyClientCertIfGiven"])
    context = build(folder, text)
    assert context is not None
    assert context.verify_mode == ssl.CERT_OPTIONAL
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("auth", "mode"),
    [
        ("NoClientCert", ssl.CERT_NONE),
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_clients_are_asked_for_certificates(auth: str, mode: int, folder: Path) -> None:
    context = build(folder, f"{TLS}  client_auth_type: {auth}")
    assert context is not None
    assert context.verify_mode == mode


def test_openssl_has_every_cipher_suite_of_go(folder: Path) -> None:
    names = "".join(f"\n    - {name}" for name in [*SUITES, *ALWAYS_ON])
    context = build(folder, f"{TLS}  max_version: TLS12\n  cipher_suites:{names}")
    assert context is not None
    ciphers = {cipher["name"] for cipher in context.get_ciphers() if "TLSv1.3" not in str(cipher)}
    assert ciphers == set(SUITES.values())
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("curve", CURVES)
def test_openssl_has_every_curve_of_go(curve: str, folder: Path) -> None:
    assert build(folder, f"{TLS}  curve_preferences: [{curve}]")


def test_the_client_may_choose_the_cipher(folder: Path) -> None:
    context = build(folder, f"{TLS}  prefer_server_cipher_suites: false")
    assert context is not None
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


VERIFYING = "RequireAndVerifyClientCert or VerifyClientCertIfGiven"
ASKING = "NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
BAD: dict[str, tuple[str, str]] = {
    "junk": ("hWkNKCp3fvIx3jKnsaBI", "web.yml: got text, expected a web configuration"),
    "unknown section": (
        "basic_auth_user: {}",
        "basic_auth_user (web.yml line 1): unknown key, expected one of tls_server_config, "
        "http_server_config, basic_auth_users, rate_limit: did you mean basic_auth_users?",
    ),
    "certificate only": (
        "tls_server_config:\n  cert_file: server.crt",
        "tls_server_config.key_file (web.yml line 1): missing, "
        "expected the certificate's key, here or in key",
    ),
    "key only": (
        "tls_server_config:\n  cert_file: ''\n  key_file: server.key",
        "tls_server_config.cert_file (web.yml line 2): missing, "
        "expected the server's certificate, here or in cert",
    ),
    "no such file": (
        "tls_server_config:\n  cert_file: somefile\n  key_file: server.key",
        "tls_server_config.cert_file (web.yml line 2): got somefile, "
        "expected a readable file (no such file or directory)",
    ),
    "a key as the certificate": (
        "tls_server_config:\n  cert_file: server.key\n  key_file: server.key",
        "tls_server_config.cert_file (web.yml line 2): got server.key, "
        "expected a certificate in PEM",
    ),
    "a certificate as the key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: ca.pem",
        "tls_server_config.key_file (web.yml line 3): got ca.pem, expected a private key in PEM",
    ),
    "doubled": (
        f"{TLS}  cert: {SECRET}",
        "tls_server_config.cert_file (web.yml line 2): got cert, too, "
        "expected either cert or cert_file, not both",
    ),
    "inline key that is none": (
        f"tls_server_config:\n  cert_file: server.crt\n  key: {SECRET}",
        "tls_server_config.key (web.yml line 3): got ***, expected a private key in PEM",
    ),
    "authority without a policy": (
        f"{TLS}  client_ca_file: ca.pem",
        "tls_server_config.client_auth_type (web.yml line 1): got nothing with client_ca_file, "
        f"expected {VERIFYING}",
    ),
    "names without a policy": (
        f"{TLS}  client_allowed_sans: [a]\n  client_auth_type: NoClientCert",
        "tls_server_config.client_auth_type (web.yml line 5): got NoClientCert with "
        f"client_allowed_sans, expected {VERIFYING}",
    ),
    "no such authority": (
        f"{TLS}  client_ca_file: none.pem\n  client_auth_type: RequireAndVerifyClientCert",
        "tls_server_config.client_ca_file (web.yml line 4): got none.pem, "
        "expected a readable file (no such file or directory)",
    ),
    "authority that is none": (
        f"{TLS}  client_ca_file: server.key\n  client_auth_type: RequireAndVerifyClientCert",
        "tls_server_config.client_ca_file (web.yml line 4): got server.key, "
        "expected a certificate in PEM",
    ),
    "unverified": (
        f"{TLS}  client_auth_type: RequireAnyClientCert",
        "tls_server_config.client_auth_type (web.yml line 4): got 'RequireAnyClientCert', "
        f"expected one of {ASKING} (Python cannot ask for certificates without checking)",
    ),
    "unknown policy": (
        f"{TLS}  client_auth_type: x",
        "tls_server_config.client_auth_type (web.yml line 4): got 'x', "
        "expected 'NoClientCert', 'VerifyClientCertIfGiven' or 'RequireAndVerifyClientCert'",
    ),
    "old version": (
        f"{TLS}  min_version: TLS10",
        "tls_server_config.min_version (web.yml line 4): got 'TLS10', expected 'TLS12' or 'TLS13'",
    ),
    "versions upside down": (
        f"{TLS}  min_version: TLS13\n  max_version: TLS12",
        "tls_server_config.min_version (web.yml line 4): above max_version, expected at most TLS12",
    ),
    "unknown cipher": (
        f"{TLS}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]",
        "tls_server_config.cipher_suites (web.yml line 4): got 'TLS_RSA_WITH_RC4_128_SHA', "
        "expected a cipher suite by its name in Go",
    ),
    "ciphers of another version": (
        f"{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256]",
        "tls_server_config.cipher_suites (web.yml line 4): only suites of TLS 1.3, "
        "expected one of TLS 1.2, too, or min_version: TLS13",
    ),
    "unknown curve": (
        f"{TLS}  curve_preferences: [CurveP257]",
        "tls_server_config.curve_preferences (web.yml line 4): got 'CurveP257', "
        "expected one of CurveP256, CurveP384, CurveP521, X25519",
    ),
    "two curves": (
        f"{TLS}  curve_preferences: [CurveP256, X25519]",
        "tls_server_config.curve_preferences (web.yml line 4): got a list, "
        "expected one curve, or none for OpenSSL's own (Python cannot set several)",
    ),
    "password that is no hash": (
        f"basic_auth_users:\n  alice: {SECRET}",
        "basic_auth_users.alice (web.yml line 2): got text, "
        'expected a bcrypt hash like $2y$10$... (htpasswd -nBC 10 "")',
    ),
    "hash of another kind": (
        "basic_auth_users:\n  alice: $apr1$5dsgtPzi$pRHw/qdCP2QgXsB2.pKRE/",
        "basic_auth_users.alice (web.yml line 2): got text, "
        'expected a bcrypt hash like $2y$10$... (htpasswd -nBC 10 "")',
    ),
    "hash that takes years": (
        f"basic_auth_users:\n  alice: $2y$31${HASH[7:]}",
        "basic_auth_users.alice (web.yml line 2): got text, "
        "expected a bcrypt hash with a cost of 4 to 20",
    ),
    "user with a colon": (
        f"basic_auth_users:\n  'alice:{SECRET}': {HASH}",
        "basic_auth_users.*** (web.yml line 2): a name with a colon, "
        "expected a user name, with its hash after the colon",
    ),
    "users in a list": (
        f"basic_auth_users: [{SECRET}]",
        "basic_auth_users (web.yml line 1): got a list, expected a mapping",
    ),
    "another header": (
        "http_server_config:\n  headers:\n    Content-Type: foo",
        "http_server_config.headers.Content-Type (web.yml line 3): unknown key, expected one of "
        "Content-Security-Policy, X-Frame-Options, X-Content-Type-Options, X-XSS-Protection, "
        "Strict-Transport-Security",
    ),
    "frame options": (
        "http_server_config:\n  headers:\n    X-Frame-Options: foo",
        "http_server_config.headers.X-Frame-Options (web.yml line 3): got 'foo', "
        "expected 'deny', 'sameorigin' or ''",
    ),
    "header of two lines": (
        'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nX: y"',
        "http_server_config.headers.X-XSS-Protection (web.yml line 3): got '1\\r\\nX: y', "
        "expected one line of ASCII text",
    ),
    "http2": (
        "http_server_config:\n  http2: maybe",
        "http_server_config.http2 (web.yml line 2): got 'maybe', "
        "expected a valid boolean, unable to interpret input",
    ),
    "interval without a unit": (
        "rate_limit:\n  interval: 5\n  burst: 1",
        "rate_limit.interval (web.yml line 2): got 5, "
        "expected a duration with its unit like 100ms or 1s, 0 for no limit",
    ),
    "burst of nothing": (
        "rate_limit:\n  interval: 1s",
        "rate_limit.burst (web.yml line 1): got 0, "
        "expected at least 1: with 0 every request is refused",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line(case: str, folder: Path) -> None:
    text, line = BAD[case]
    assert find_mistakes(folder, text) == [line]
    assert SECRET not in line


def test_all_mistakes_are_reported_together(folder: Path) -> None:
    text = "tls_server_config:\n  cert_file: none.crt\n  key_file: none.key"
    assert len(find_mistakes(folder, text)) == 2


def test_the_key_must_belong_to_the_certificate(folder: Path, tmp_path: Path) -> None:
    other = trustme.CA().issue_cert("localhost").private_key_pem.bytes()
    (tmp_path / "server.key").write_bytes(other)
    assert find_mistakes(folder, TLS) == [
        "tls_server_config.key_file (web.yml line 3): got server.key, "
        "expected the private key of the certificate"
    ]


def test_no_passphrase_is_prompted_for(folder: Path) -> None:
    file = folder / "server.key"
    key = load_pem_private_key(file.read_bytes(), None)
    secret = BestAvailableEncryption(SECRET.encode())
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    assert find_mistakes(folder, TLS) == [
        "tls_server_config.key_file (web.yml line 3): got server.key, "
        "expected a private key without a passphrase"
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nx\n"
                                     b"-----END CERTIFICATE-----\n"])  # fmt: skip
def test_a_file_without_certificate_is_an_error(content: bytes, folder: Path) -> None:
    (folder / "server.crt").write_bytes(content)
    (line,) = find_mistakes(folder, TLS)
    assert line.startswith("tls_server_config.cert_file (web.yml line 2): got server.crt, ")


def test_a_comment_in_an_authorities_file_may_be_in_any_language(folder: Path) -> None:
    file = folder / "ca.pem"
    file.write_text(f"Autorität\n{file.read_text()}")
    assert build(folder, f"{TLS}  client_ca_file: ca.pem\n"
                 "  client_auth_type: RequireAndVerifyClientCert")  # fmt: skip


def test_no_representation_shows_a_secret(folder: Path) -> None:
    file = read_web_file(write(folder, f"{TLS}basic_auth_users:\n  alice: {HASH}"))
    shown: Any = f"{file!r} {file.config!r} {file.read_pems()!r}"
    assert HASH not in shown
    assert "PRIVATE KEY" not in shown

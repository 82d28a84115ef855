"""Build the SSLContext that a web configuration describes."""

import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.web_config.tls import CURVES, VERIFYING, ClientAuth, TLSServerConfig

VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CERTIFICATE: Final = re.compile(
    "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Pem:
    """A text in PEM, the key of the configuration that it comes from, and what to show of it."""

    key: str
    shown: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pems:
    """The texts that TLS needs; `authorities` sign the clients' certificates."""

    certificate: Pem
    key: Pem
    authorities: Pem | None


class PassphraseError(Exception):
    """The private key needs a passphrase."""


def build_context(config: TLSServerConfig, pems: Pems) -> ssl.SSLContext:
    """Return the context for new connections.

    An expired certificate is served: clients report that better than a refused connection.

    Raises:
        SettingsErrors: With keys relative to the section.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.min_version]
    context.maximum_version = VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        _choose_ciphers(context, config)
        _load_certificate(context, pems)
        if config.client_auth_type in VERIFYING:
            _load_authorities(context, config, pems.authorities)
    except SettingsError as error:
        raise SettingsErrors([error]) from None
    return context


def _choose_ciphers(context: ssl.SSLContext, config: TLSServerConfig) -> None:
    """Set cipher suites and curve. Raises SettingsError if OpenSSL does not have them."""
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if ciphers := config.list_ciphers():
        try:
            context.set_ciphers(":".join(ciphers))
        except ssl.SSLError:
            expected = "suites that this machine's OpenSSL has"
            raise SettingsError("cipher_suites", "got only others", expected) from None
    for curve in config.curve_preferences:
        try:
            context.set_ecdh_curve(CURVES[curve])
        except (ssl.SSLError, ValueError):
            expected = "a curve that this machine's OpenSSL has"
            raise SettingsError("curve_preferences", f"got {curve}", expected) from None


def _load_certificate(context: ssl.SSLContext, pems: Pems) -> None:
    """Load the certificate with its key. Raises SettingsError that names the wrong one."""
    _check_certificates(pems.certificate)
    wrong, expected = pems.key, "a private key in PEM"
    try:
        with (
            _open_as_file(pems.certificate.text) as certificate,
            _open_as_file(pems.key.text) as key,
        ):
            context.load_cert_chain(certificate, key, password=_refuse_passphrase)
        return
    except PassphraseError:
        expected = "a private key without a passphrase"
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "MISMATCH" in reason:
            expected = "the private key of the certificate"
        elif "TOO" in reason:  # EE_KEY_TOO_SMALL, CA_MD_TOO_WEAK
            words = reason.replace("_", " ").lower()
            wrong, expected = pems.certificate, f"a safe certificate ({words})"
    raise SettingsError(wrong.key, wrong.shown, expected)


def _load_authorities(
    context: ssl.SSLContext, config: TLSServerConfig, authorities: Pem | None
) -> None:
    """Trust these authorities or, as Go does, the machine's. Each of them counts as a root."""
    required = config.client_auth_type is ClientAuth.REQUIRE
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    else:
        context.load_verify_locations(cadata=_check_certificates(authorities))


def _check_certificates(pem: Pem) -> str:
    """Return the certificates in a text, without the text between them."""
    found = "\n".join(_CERTIFICATE.findall(pem.text))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError, TypeError):  # no certificate, or not base64 or ASCII
        raise SettingsError(pem.key, pem.shown, "a certificate in PEM") from None
    return found


def _refuse_passphrase() -> str:
    # Without this OpenSSL would ask at the terminal.
    raise PassphraseError


@contextmanager
def _open_as_file(text: str) -> Iterator[str]:
    """Yield a path to the text, because OpenSSL reads only files.

    On Linux the file is in memory, so that a private key is never written to a disk.
    """
    content = text.encode()
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(content)
            yield file.name
        return
    with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as memory:
        memory.write(content)
        yield f"/proc/self/fd/{memory.fileno()}"

"""The TLS that a configuration asks for, as Python's ssl builds it."""

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


class PassphraseError(Exception):
    """A key wants a passphrase."""


@dataclass(frozen=True, slots=True)
class Pem:
    """A text, the key in the configuration that it belongs to, and what may be shown of it."""

    key: str
    shown: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pems:
    """What TLS needs; `authorities` are those that sign the clients' certificates."""

    certificate: Pem
    key: Pem
    authorities: Pem | None


def build_context(config: TLSServerConfig, pems: Pems) -> ssl.SSLContext:
    """Returns TLS for new connections. Raises SettingsErrors, keys relative to the section.

    An expired certificate is served: clients say so better than an exporter that is not there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.min_version]
    context.maximum_version = VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        choose_ciphers(context, config)
        load_certificate(context, pems)
        if config.client_auth_type in VERIFYING:
            load_authorities(context, config, pems.authorities)
    except SettingsError as error:
        raise SettingsErrors([error]) from None
    return context


def choose_ciphers(context: ssl.SSLContext, config: TLSServerConfig) -> None:
    """Raises SettingsError for what this machine's OpenSSL does not have."""
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if ciphers := config.list_ciphers():
        try:
            context.set_ciphers(":".join(ciphers))
        except ssl.SSLError:
            expected = "suites that this machine's OpenSSL has"
            raise SettingsError("cipher_suites", "got none it has", expected) from None
    for curve in config.curve_preferences:
        try:
            context.set_ecdh_curve(CURVES[curve])
        except (ssl.SSLError, ValueError):
            expected = "a curve that this machine's OpenSSL has"
            raise SettingsError("curve_preferences", f"got {curve}", expected) from None


def load_certificate(context: ssl.SSLContext, pems: Pems) -> None:
    """Raises SettingsError that blames the certificate or its key."""
    check_certificates(pems.certificate)
    blamed, expected = pems.key, "a private key in PEM"
    try:
        with (
            open_as_file(pems.certificate.text) as certificate,
            open_as_file(pems.key.text) as key,
        ):
            context.load_cert_chain(certificate, key, password=refuse_passphrase)
        return
    except PassphraseError:
        expected = "a private key without a passphrase"
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "MISMATCH" in reason:
            expected = "the private key of the certificate"
        elif "TOO" in reason:  # EE_KEY_TOO_SMALL, CA_MD_TOO_WEAK
            blamed, expected = pems.certificate, f"a safe certificate ({describe(reason)})"
    raise SettingsError(blamed.key, blamed.shown, expected)


def load_authorities(
    context: ssl.SSLContext, config: TLSServerConfig, authorities: Pem | None
) -> None:
    """Trusts these authorities, or the machine's, as Go does; any of them is a root."""
    required = config.client_auth_type is ClientAuth.REQUIRE
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    else:
        context.load_verify_locations(cadata=check_certificates(authorities))


def check_certificates(pem: Pem) -> str:
    """Returns the certificates in a text without what stands between them."""
    found = "\n".join(_CERTIFICATE.findall(pem.text))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError, TypeError):  # nothing, no base64, no ASCII
        raise SettingsError(pem.key, pem.shown, "a certificate in PEM") from None
    return found


def refuse_passphrase() -> str:
    """Is asked instead of the terminal."""
    raise PassphraseError


def describe(reason: str) -> str:
    """OpenSSL's word for what is wrong, for people."""
    return reason.replace("_", " ").lower()


@contextmanager
def open_as_file(text: str) -> Iterator[str]:
    """A path for OpenSSL, which reads only files; where Linux is, of memory: a key stays there."""
    content = text.encode()
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(content)
            yield file.name
        return
    with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as memory:
        memory.write(content)
        yield f"/proc/self/fd/{memory.fileno()}"

"""The web configuration's section about TLS, and the check of clients' certificates."""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr

from sqlalchemy_pool_exporter.settings.errors import SettingsError, expect, show_value
from sqlalchemy_pool_exporter.settings.fields import FilePath, WebSection

Version = Literal["TLS12", "TLS13"]
# OpenSSL's names by Go's: https://pkg.go.dev/crypto/tls#CipherSuites
SUITES: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
# The suites of TLS 1.3 are always on, in Go as well.
ALWAYS_ON: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
# The toolkit compares these kinds of names, here as Python's ssl calls them.
NAME_KINDS: Final = frozenset({"DNS", "email", "IP Address", "URI"})


class ClientAuth(StrEnum):
    """Whether clients must show a certificate, in Go's words."""

    NO = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE = "RequireAndVerifyClientCert"


VERIFYING: Final = frozenset({ClientAuth.IF_GIVEN, ClientAuth.REQUIRE})
# In Go these accept any certificate, so they keep no client out. Python's ssl has no such mode.
UNVERIFIED: Final = frozenset({"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"})


def _refuse_unverified(value: Any) -> Any:
    if isinstance(value, str) and value in UNVERIFIED:
        expected = ", ".join(ClientAuth)
        raise expect(f"one of {expected} (Python cannot ask for certificates without checking)")
    return value


def _check_suites(names: tuple[str, ...]) -> tuple[str, ...]:
    return _check_names(names, SUITES.keys() | ALWAYS_ON, "a cipher suite by its name in Go")


def _check_curves(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1:
        raise expect("one curve, or none for OpenSSL's own (Python cannot set several)")
    return _check_names(names, CURVES, f"one of {', '.join(CURVES)}")


def _check_names(names: tuple[str, ...], valid: Collection[str], expected: str) -> tuple[str, ...]:
    invalid = [name for name in names if name not in valid]
    if invalid:
        raise expect(expected, problems=[(f"got {show_value(n)}", expected) for n in invalid])
    return names


class TLSServerConfig(WebSection):
    """TLS. It is on if one of the keys up to `client_ca_file` is set."""

    cert: str | None = None
    key: SecretStr | None = None
    client_ca: str | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    client_auth_type: Annotated[ClientAuth, BeforeValidator(_refuse_unverified)] | None = None
    client_ca_file: FilePath | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: Annotated[tuple[str, ...], AfterValidator(_check_suites)] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[str, ...], AfterValidator(_check_curves)] = ()

    @property
    def is_enabled(self) -> bool:
        """Whether the server speaks TLS."""
        certificates = (self.cert, self.key, self.client_ca)
        files = (self.cert_file, self.key_file, self.client_ca_file)
        return any((*certificates, *files, self.client_auth_type))

    def find_mistakes(self) -> Iterator[SettingsError]:
        """Yield keys that contradict each other, relative to this section."""
        yield from self._find_doubled()
        if self.is_enabled:
            yield from self._find_missing()
        yield from self._find_unverified()
        if self.min_version > self.max_version:
            yield SettingsError("min_version", "above max_version", f"at most {self.max_version}")
        if self.cipher_suites and not self.list_ciphers() and self.min_version != "TLS13":
            expected = "one of TLS 1.2, too, or min_version: TLS13"
            yield SettingsError("cipher_suites", "only suites of TLS 1.3", expected)

    def list_ciphers(self) -> list[str]:
        """Return the chosen cipher suites by OpenSSL's names."""
        return [SUITES[name] for name in self.cipher_suites if name in SUITES]

    def _find_doubled(self) -> Iterator[SettingsError]:
        for key in ("cert", "key", "client_ca"):
            if getattr(self, key) and getattr(self, f"{key}_file"):
                expected = f"either {key} or {key}_file, not both"
                yield SettingsError(f"{key}_file", f"got {key}, too", expected)

    def _find_missing(self) -> Iterator[SettingsError]:
        if not (self.cert or self.cert_file):
            yield SettingsError("cert_file", "missing", "the server's certificate, here or in cert")
        if not (self.key or self.key_file):
            yield SettingsError("key_file", "missing", "the certificate's key, here or in key")

    def _find_unverified(self) -> Iterator[SettingsError]:
        if self.client_auth_type in VERIFYING:
            return
        for key in ("client_ca", "client_ca_file", "client_allowed_sans"):
            if getattr(self, key):
                shown = f"got {self.client_auth_type or 'nothing'} with {key}"
                yield SettingsError("client_auth_type", shown, " or ".join(sorted(VERIFYING)))


def is_allowed(certificate: Mapping[str, Any] | None, allowed: Collection[str]) -> bool:
    """Return whether a verified certificate has one of these alternative names.

    Args:
        certificate: The certificate as Python's ssl describes it.
        allowed: Names as `client_allowed_sans` lists them.
    """
    names = (certificate or {}).get("subjectAltName", ())
    found = {_normalise(name) for kind, name in names if kind in NAME_KINDS}
    return not found.isdisjoint(map(_normalise, allowed))


def _normalise(name: str) -> str:
    """Return an IPv6 address in its canonical spelling, and other names unchanged."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name

"""Translates the parameters of MySQL and MariaDB URLs for pymysql, aiomysql and asyncmy.

Accepts the spellings of SQLAlchemy (ssl_ca), pymysql (ssl_verify_cert), MySQL's connectors
(connection_timeout), and MySQL's programs and hosted databases (ssl-mode=REQUIRED).
"""

import importlib
import inspect
import ssl
from dataclasses import replace
from typing import Any, Final

from sqlalchemy_pool_exporter.dialects.base import Translation
from sqlalchemy_pool_exporter.urls import Parameters, URLParts

SSL_MODES: Final = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
TLS: Final = (
    *("ssl", "ssl_mode", "ssl-mode", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher"),
    *("ssl_key_password", "ssl_check_hostname", "ssl_disabled", "ssl_verify_cert"),
    *("ssl_verify_identity",),
)
TEXTS: Final = (
    *("charset", "collation", "sql_mode", "init_command", "unix_socket", "bind_address"),
    *("program_name", "read_default_file", "read_default_group"),
)
LOGIN: Final = ("user", "password", "passwd", "database", "db")
NUMBERS: Final = ("client_flag", "max_allowed_packet")
SECONDS: Final = ("connect_timeout", "read_timeout", "write_timeout")
# Of mysqlconnector and mariadbconnector; the first is their connect_timeout, the others have no
# effect on a probe.
CONNECTORS: Final = ("connection_timeout", "use_pure", "raise_on_warnings", "reconnect")
SWITCHES: Final = ("autocommit", "local_infile", "use_unicode")


def translate_url(parts: URLParts, parameters: Parameters, driver: str) -> Translation:
    """Turn the parameters into arguments of the driver's connect(), with the types it expects."""
    parts = _override_login(parts, parameters)
    if len(parts.hosts) > 1:
        parameters.reject("host", ",".join(map(str, parts.hosts)), "one host")
    accepted = _list_accepted(driver)
    arguments: dict[str, Any] = {key: parameters.get(key) for key in TEXTS}
    arguments |= {key: parameters.get_int(key) for key in NUMBERS}
    arguments |= {key: parameters.get_seconds(key) for key in SECONDS}
    arguments["connect_timeout"] = arguments["connect_timeout"] or parameters.get_seconds(
        "connection_timeout"
    )
    arguments |= {key: parameters.get_bool(key) for key in SWITCHES}
    arguments |= _build_tls(parameters, driver)
    known = {*LOGIN, *TLS, *CONNECTORS, *(key for key in arguments if key in accepted)}
    parameters.finish(driver, known)
    given = {key: value for key, value in arguments.items() if value is not None}
    return Translation(parts, connect_args=given, host=parts.hosts[0] if parts.hosts else None)


def _override_login(parts: URLParts, parameters: Parameters) -> URLParts:
    return replace(
        parts,
        username=parameters.get("user") or parts.username,
        password=parameters.get("password") or parameters.get("passwd") or parts.password,
        database=parameters.get("database") or parameters.get("db") or parts.database,
    )


def _list_accepted(driver: str) -> frozenset[str]:
    """Return the arguments of the installed driver's connect(): the three drivers differ."""
    try:
        signature = inspect.signature(importlib.import_module(driver).connect)
    except ValueError:  # compiled without a signature
        return frozenset((*TEXTS, *NUMBERS, *SECONDS, *SWITCHES))
    return frozenset(signature.parameters)


def _build_tls(parameters: Parameters, driver: str) -> dict[str, Any]:
    mode = _read_mode(parameters)
    if mode == "DISABLED":
        # The others encrypt only when they are given a context.
        return {"ssl_disabled": True} if driver == "pymysql" else {}
    if mode == "PREFERRED":
        return {}
    return {"ssl": _build_context(parameters, mode)}


def _read_mode(parameters: Parameters) -> str:
    """Return the mode that the URL names, else the one that its other parameters imply.

    As in SQLAlchemy's URLs, ssl_ca also verifies the host's name, unless ssl_check_hostname=false.
    """
    switches = ("ssl_disabled", "ssl_verify_identity", "ssl_verify_cert", "ssl_check_hostname")
    disabled, identity, verify, check = (parameters.get_bool(name) for name in switches)
    name = "ssl-mode" if "ssl-mode" in parameters else "ssl_mode"
    mode = parameters.get_choice(name, (*SSL_MODES, *map(str.lower, SSL_MODES)))
    has_authority = "ssl_ca" in parameters or "ssl_capath" in parameters
    if mode:
        return mode.upper()
    if disabled:
        return "DISABLED"
    if identity or (has_authority and check is not False and verify is None and identity is None):
        return "VERIFY_IDENTITY"
    if verify or (has_authority and verify is None):
        return "VERIFY_CA"
    required = "ssl_cert" in parameters or "ssl_cipher" in parameters or has_authority
    return "REQUIRED" if required or parameters.get_bool("ssl") else "PREFERRED"


def _build_context(parameters: Parameters, mode: str) -> ssl.SSLContext:
    authority = parameters.get_file("ssl_ca")
    context = _load_authority(parameters, authority)
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_NONE if mode == "REQUIRED" else ssl.CERT_REQUIRED
    _load_certificate(context, parameters)
    cipher = parameters.get("ssl_cipher")
    if cipher:
        try:
            context.set_ciphers(cipher)
        except ssl.SSLError:
            parameters.reject("ssl_cipher", cipher, "ciphers OpenSSL knows")
    return context


def _load_authority(parameters: Parameters, authority: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority, capath=parameters.get("ssl_capath"))
    except OSError:
        parameters.reject("ssl_ca", authority, "a file of certificates")
        return ssl.create_default_context()
    # Certificates that MySQL generates lack extensions that Python 3.13 and newer insist on.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load_certificate(context: ssl.SSLContext, parameters: Parameters) -> None:
    certificate, key = parameters.get_file("ssl_cert"), parameters.get_file("ssl_key")
    if certificate is None:
        return
    try:
        password = parameters.get("ssl_key_password") or ""
        context.load_cert_chain(certificate, key, lambda: password)
    except OSError:
        parameters.reject("ssl_cert", certificate, "a certificate with its key")

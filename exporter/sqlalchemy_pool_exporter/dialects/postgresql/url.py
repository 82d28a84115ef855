"""Translates libpq's parameters for asyncpg, and checks them for drivers that use libpq.

Parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import os
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy_pool_exporter.dialects.base import Translation
from sqlalchemy_pool_exporter.urls import Host, Parameters, URLParts, parse_host

DEFAULT_PORT: Final = 5432
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_ATTRS: Final = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# Only in a DSN does asyncpg give these the meaning they have in libpq: prefer and allow fall back,
# require verifies only if there is a root certificate. It reads the files for each connection, so
# renewed certificates are used.
DSN_PARAMETERS: Final = (
    *("sslmode", *FILES, "sslpassword"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
# asyncpg does these anyway, or they make no difference to a probe.
WITHOUT_EFFECT: Final = (
    *("client_encoding", "keepalives", "keepalives_idle", "keepalives_interval"),
    *("keepalives_count", "tcp_user_timeout", "sslcompression", "sslsni", "sslcertmode"),
    *("channel_binding", "load_balance_hosts", "min_protocol_version", "max_protocol_version"),
    "gssdelegation",
)
# Parameters of other drivers, which make no difference either: SQLAlchemy's, and pg8000's.
NOT_LIBPQ: Final = ("async_fallback", "tcp_keepalive")
# pg8000's path of a unix socket.
SOCKET_PATH: Final = "unix_sock"
_SOCKET_NAME = re.compile(r"(?P<folder>/.*?)/*\.s\.PGSQL\.(?P<port>[0-9]{1,5})")
LIBPQ_ONLY: Final = (
    *("service", "requirepeer", "require_auth", "replication", "krbsrvname", "gsslib"),
    *("sslcrldir", "sslkeylogfile", "scram_client_key", "scram_server_key", "oauth_issuer"),
    *("oauth_client_id", "oauth_client_secret", "oauth_scope"),
)
# libpq takes them as parameters, too.
IN_URL: Final = ("user", "password", "dbname", "host", "port")
COMMON: Final = (
    *(*IN_URL, *DSN_PARAMETERS, "ssl", "sslnegotiation", "gssencmode", "hostaddr", "passfile"),
    SOCKET_PATH,
    *("target_session_attrs", "connect_timeout", "options"),
    *("application_name", "fallback_application_name"),
)
ASYNCPG_NUMBERS: Final = (
    *("statement_cache_size", "prepared_statement_cache_size"),
    *("max_cached_statement_lifetime", "max_cacheable_statement_size"),
)
ASYNCPG_ONLY: Final = (*ASYNCPG_NUMBERS, "timeout", "command_timeout", "database")


def translate_for_asyncpg(parts: URLParts, parameters: Parameters) -> Translation:
    """Turn libpq's parameters into arguments of asyncpg.connect()."""
    parts = _override_address(parts, parameters)
    single = _get_single_tcp_host(parts)
    arguments = {
        **({} if single else _build_hosts(parts.hosts)),
        **_build_tls(parameters),
        **_build_session(parameters),
    }
    hint = "a driver that uses libpq for this parameter: postgresql+psycopg://, psycopg installed"
    known = {*COMMON, *WITHOUT_EFFECT, *NOT_LIBPQ, *ASYNCPG_ONLY}
    parameters.finish("asyncpg", known, dict.fromkeys(LIBPQ_ONLY, hint))
    return Translation(parts, connect_args=arguments, host=single)


def translate_for_libpq(parts: URLParts, parameters: Parameters) -> Translation:
    """Check the parameters of psycopg and psycopg2, which pass them to libpq unchanged."""
    parts = _override_address(parts, parameters)
    single = _get_single_tcp_host(parts)
    mode, _ = _check_tls(parameters)
    parameters.get_int("connect_timeout")
    threshold = parameters.get_int("prepare_threshold")
    known = {*COMMON, *WITHOUT_EFFECT, *LIBPQ_ONLY, "prepare_threshold"}
    parameters.finish("libpq", known)
    query = dict(parameters.list_items(*IN_URL, SOCKET_PATH, "ssl", "prepare_threshold"))
    if mode:
        query["sslmode"] = mode
    if not single and parts.hosts:
        query["host"] = ",".join(host.name for host in parts.hosts)
        query["port"] = ",".join(str(host.port or "") for host in parts.hosts)
    arguments = {} if threshold is None else {"prepare_threshold": threshold}
    return Translation(parts, query, arguments, single)


def _override_address(parts: URLParts, parameters: Parameters) -> URLParts:
    """Override the parts of the URL with its parameters, as libpq does."""
    return replace(
        parts,
        username=parameters.get("user") or parts.username,
        password=parameters.get("password") or parts.password,
        database=parameters.get("dbname") or parameters.get("database") or parts.database,
        hosts=_override_hosts(parts, parameters),
    )


def _override_hosts(parts: URLParts, parameters: Parameters) -> tuple[Host, ...]:
    """Return the hosts of ?host=a,b&port=1,2 or of SQLAlchemy's ?host=a:1&host=b:2."""
    socket = parameters.get(SOCKET_PATH)
    if socket is not None:
        return _read_socket(socket, parameters)
    hosts = parts.hosts
    named = ",".join(parameters.get_all("host"))
    if not hosts and not named:
        named = parameters.get("hostaddr") or ""
    if named:
        read = [parse_host(part) for part in named.split(",")]
        hosts = tuple(host for host in read if host)
        if None in read:
            parameters.reject("host", named, "names, addresses or folders of unix sockets")
    ports = parameters.get("port")
    return hosts if ports is None else _set_ports(hosts or (Host(""),), ports, parameters)


def _read_socket(path: str, parameters: Parameters) -> tuple[Host, ...]:
    """Return the folder and port that libpq and asyncpg make the path of a unix socket from."""
    match = _SOCKET_NAME.fullmatch(path)
    if match is None:
        parameters.reject(SOCKET_PATH, path, "a path like /run/postgresql/.s.PGSQL.5432")
        return ()
    port = int(match["port"])
    return (Host(match["folder"], None if port == DEFAULT_PORT else port),)


def _set_ports(hosts: tuple[Host, ...], ports: str, parameters: Parameters) -> tuple[Host, ...]:
    numbers = ports.split(",") if "," in ports else [ports] * len(hosts)
    valid = all(re.fullmatch("[0-9]{1,5}", number) for number in numbers)
    if len(numbers) != len(hosts) or not valid:
        parameters.reject("port", ports, "a port, or one for each host")
        return hosts
    return tuple(Host(host.name, int(port)) for host, port in zip(hosts, numbers, strict=True))


def _get_single_tcp_host(parts: URLParts) -> Host | None:
    """Return the only host if an SQLAlchemy URL can hold it."""
    if len(parts.hosts) != 1 or parts.hosts[0].name.startswith("/"):
        return None
    return parts.hosts[0]


def _build_hosts(hosts: tuple[Host, ...]) -> dict[str, Any]:
    if not hosts:
        return {}
    return {
        "host": [host.name for host in hosts],
        "port": [host.port or DEFAULT_PORT for host in hosts],
    }


def _build_tls(parameters: Parameters) -> dict[str, Any]:
    mode, root = _check_tls(parameters)
    arguments: dict[str, Any] = {}
    if parameters.get_choice("sslnegotiation", ("postgres", "direct")) == "direct":
        arguments["direct_tls"] = True
    if root == "system":
        arguments["ssl"] = _build_system_context(parameters)
    else:
        values = {key: parameters.get(key) for key in DSN_PARAMETERS} | {"sslmode": mode}
        given = {key: value for key, value in values.items() if value}
        if given:
            arguments["dsn"] = f"postgresql://?{urlencode(given)}"
    return arguments


def _check_tls(parameters: Parameters) -> tuple[str | None, str | None]:
    """Check all parameters of TLS, and return sslmode and sslrootcert."""
    # libpq reads ssl=true as sslmode=require, SQLAlchemy's URLs for asyncpg say ssl=<mode>.
    alias = parameters.get("ssl")
    name = "sslmode" if "sslmode" in parameters or alias is None else "ssl"
    mode = (
        "require" if name == "ssl" and alias == "true" else parameters.get_choice(name, SSL_MODES)
    )
    root = parameters.get_file("sslrootcert", "system")
    for key in ("sslcert", "sslkey", "sslcrl"):
        parameters.get_file(key)
    for key in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        parameters.get_choice(key, TLS_VERSIONS)
    parameters.get_choice("gssencmode", ("disable", "prefer"))
    if root == "system" and mode not in (None, "verify-full"):
        parameters.reject(name, mode, "verify-full, with sslrootcert=system")
    if mode in ("verify-ca", "verify-full") and "sslrootcert" not in parameters and not _has_root():
        parameters.reject(name, mode, "sslrootcert (a file, or system) beside it")
    return mode, root


def _has_root() -> bool:
    """Return whether there is a root certificate where libpq and asyncpg look by default."""
    default = Path("~/.postgresql/root.crt").expanduser()
    return "PGSSLROOTCERT" in os.environ or default.exists()


def _build_system_context(parameters: Parameters) -> ssl.SSLContext:
    """Return a context for sslrootcert=system, which asyncpg up to 0.32 does not support."""
    context = ssl.create_default_context()
    certificate, key = parameters.get("sslcert"), parameters.get("sslkey")
    if certificate:
        try:
            context.load_cert_chain(certificate, key, lambda: parameters.get("sslpassword") or "")
        except OSError:
            parameters.reject("sslcert", certificate, "a certificate with its key")
    return context


def _build_session(parameters: Parameters) -> dict[str, Any]:
    """Return the arguments apart from those for address and TLS."""
    arguments: dict[str, Any] = {
        "target_session_attrs": parameters.get_choice("target_session_attrs", SESSION_ATTRS),
        "passfile": parameters.get("passfile"),
        "timeout": parameters.get_seconds("timeout") or parameters.get_seconds("connect_timeout"),
        "command_timeout": parameters.get_seconds("command_timeout"),
        **{key: parameters.get_int(key) for key in ASYNCPG_NUMBERS},
    }
    name = parameters.get("application_name") or parameters.get("fallback_application_name")
    settings = {"application_name": name, "options": parameters.get("options")}
    settings = {key: value for key, value in settings.items() if value}
    if settings:
        arguments["server_settings"] = settings
    return {key: value for key, value in arguments.items() if value is not None}

"""The types of the arguments of PostgreSQL's drivers, as far as a configuration can give them."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy_pool_exporter.dialects.arguments import (
    ArgumentType,
    file,
    integer,
    natural,
    number,
    one_of,
    one_or_more,
    optional,
    python_object,
    seconds,
    settings_of_session,
    switch,
    text,
    text_or_number,
)
from sqlalchemy_pool_exporter.dialects.postgresql.url import (
    COMMON,
    LIBPQ_ONLY,
    SESSION_ATTRS,
    SSL_MODES,
    TLS_VERSIONS,
    WITHOUT_EFFECT,
)


def zero_or_one(value: Any) -> Any:
    """Take 0 or 1 as libpq does, and true and false."""
    return int(value) if isinstance(value, bool) else integer(value)


ASYNCPG_TYPES: Final[Mapping[str, ArgumentType]] = {
    **dict.fromkeys(("dsn", "user", "password", "passfile", "database"), text),
    **dict.fromkeys(("service", "servicefile", "krbsrvname", "gsslib"), text),
    "host": one_or_more(text),
    "port": optional(one_or_more(natural)),
    **dict.fromkeys(("timeout", "command_timeout"), optional(seconds)),
    **dict.fromkeys(
        (
            *("statement_cache_size", "prepared_statement_cache_size"),
            *("max_cached_statement_lifetime", "max_cacheable_statement_size"),
        ),
        natural,
    ),
    "ssl": one_of(*SSL_MODES, also=switch),
    "direct_tls": switch,
    "server_settings": settings_of_session,
    "target_session_attrs": one_of(*SESSION_ATTRS),
    # Of SQLAlchemy's dialect: only newer or older versions have some of them.
    "async_fallback": switch,
    **dict.fromkeys(
        (
            *("loop", "connection_class", "record_class"),
            *("prepared_statement_name_func", "async_creator_fn"),
        ),
        python_object,
    ),
}
LIBPQ_TYPES: Final[Mapping[str, ArgumentType]] = {
    **dict.fromkeys(set(COMMON) - {"ssl"}, text_or_number),
    **dict.fromkeys(
        (
            *("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"),
            "tcp_user_timeout",
        ),
        optional(integer),
    ),
    **dict.fromkeys(("keepalives", "sslcompression", "sslsni", "gssdelegation"), zero_or_one),
    "sslmode": one_of(*SSL_MODES),
    "sslnegotiation": one_of("postgres", "direct"),
    "sslrootcert": file("system"),
    "sslcertmode": one_of("disable", "allow", "require"),
    **dict.fromkeys(
        ("ssl_min_protocol_version", "ssl_max_protocol_version"), one_of("", *TLS_VERSIONS)
    ),
    "channel_binding": one_of("disable", "prefer", "require"),
    "gssencmode": one_of("disable", "prefer", "require"),
    "load_balance_hosts": one_of("disable", "random"),
    "target_session_attrs": one_of(*SESSION_ATTRS),
}
PSYCOPG_TYPES: Final[Mapping[str, ArgumentType]] = {
    **LIBPQ_TYPES,
    "connect_timeout": optional(number),
    "autocommit": switch,
    "prepare_threshold": optional(natural),
    **dict.fromkeys(
        ("context", "row_factory", "cursor_factory", "async_creator_fn"), python_object
    ),
}
PSYCOPG2_TYPES: Final[Mapping[str, ArgumentType]] = {
    **LIBPQ_TYPES,
    **dict.fromkeys(("dsn", "database"), text_or_number),
    **dict.fromkeys(("connection_factory", "cursor_factory"), python_object),
}
PG8000_TYPES: Final[Mapping[str, ArgumentType]] = {
    **dict.fromkeys(("user", "host", "database", "password", "unix_sock"), text),
    **dict.fromkeys(("application_name", "replication"), text),
    "port": natural,
    "timeout": optional(seconds),
    **dict.fromkeys(("tcp_keepalive", "ssl_context"), switch),
    "startup_params": settings_of_session,
    "source_address": python_object,
}


def is_known_to_libpq(name: str) -> bool:
    """Return whether libpq has a parameter of this name; the installed one may be newer."""
    if name in WITHOUT_EFFECT or name in LIBPQ_ONLY:
        return True
    try:
        import psycopg.conninfo
    except ImportError:  # no driver, or psycopg2, or psycopg without a libpq
        return True
    try:
        psycopg.conninfo.make_conninfo(**{name: "0"})
    except psycopg.Error:
        return False
    return True

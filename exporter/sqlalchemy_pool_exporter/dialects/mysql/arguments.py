"""The types of the arguments of MySQL's drivers, as far as a configuration can give them."""

import importlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy_pool_exporter.dialects.arguments import (
    ArgumentType,
    file,
    integer,
    mapping,
    natural,
    never,
    one_of,
    optional,
    python_object,
    refuse,
    seconds,
    switch,
    text,
    text_or_number,
)


def charset(value: Any) -> Any:
    """Take a character set that pymysql knows."""
    if not text(value):
        return value
    try:
        known = importlib.import_module("pymysql.charset").charset_by_name(value)
    except (ImportError, AttributeError):
        return value
    except KeyError:
        known = None
    return value if known else refuse(value, "a character set like utf8mb4")


_SSL_TYPES: Final[Mapping[str, ArgumentType]] = {
    **dict.fromkeys(("ca", "cert", "key"), file()),
    **dict.fromkeys(("capath", "password", "cipher"), text),
    "check_hostname": switch,
    "verify_mode": one_of("none", "optional", "required", also=switch),
}
_SSL: Final = mapping(_SSL_TYPES, "{ca: /path/of/a/file}")
COMMON_TYPES: Final[Mapping[str, ArgumentType]] = {
    **dict.fromkeys(("host", "user", "password", "passwd", "database", "db"), text),
    **dict.fromkeys(("unix_socket", "collation", "init_command", "bind_address"), text),
    **dict.fromkeys(("program_name", "read_default_file", "read_default_group"), text),
    "charset": text,
    "sql_mode": text_or_number,
    "port": optional(natural),
    "client_flag": natural,
    **dict.fromkeys(("autocommit", "use_unicode"), switch),
}
_PYMYSQL_LIKE: Final[Mapping[str, ArgumentType]] = {
    **COMMON_TYPES,
    "charset": charset,
    "connect_timeout": seconds,
    **dict.fromkeys(("read_timeout", "write_timeout"), optional(seconds)),
    "max_allowed_packet": natural,
    **dict.fromkeys(("local_infile", "binary_prefix", "echo"), switch),
    "auth_plugin_map": mapping({}, "{plugin: handler}"),
    **dict.fromkeys(
        ("conv", "cursorclass", "cursor_cls", "loop", "sock", "async_creator_fn"), python_object
    ),
}
PYMYSQL_TYPES: Final[Mapping[str, ArgumentType]] = {
    **_PYMYSQL_LIKE,
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key"), file()),
    **dict.fromkeys(("ssl_disabled", "ssl_verify_identity"), switch),
    "ssl_verify_cert": one_of("none", "optional", "required", also=switch),
    "ssl_key_password": text,
    "ssl": _SSL,
    **dict.fromkeys(("compress", "named_pipe", "defer_connect"), never),
}
ASYNCMY_TYPES: Final[Mapping[str, ArgumentType]] = {
    **_PYMYSQL_LIKE,
    "ssl": lambda value: value if value is True else _SSL(value),
}
AIOMYSQL_TYPES: Final[Mapping[str, ArgumentType]] = {
    **_PYMYSQL_LIKE,
    "connect_timeout": optional(seconds),
    "ssl": lambda value: value and refuse(value, "nothing; set ssl_ca or ssl_mode in the URL"),
}
# They take whole seconds.
MYSQLDB_TYPES: Final[Mapping[str, ArgumentType]] = {
    **COMMON_TYPES,
    **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), integer),
    **dict.fromkeys(("conv", "cursorclass"), python_object),
}
MYSQLCONNECTOR_TYPES: Final[Mapping[str, ArgumentType]] = {
    **COMMON_TYPES,
    **dict.fromkeys(("connection_timeout", "connect_timeout"), optional(natural)),
    **dict.fromkeys(("use_pure", "raise_on_warnings", "compress", "ssl_disabled"), switch),
    **dict.fromkeys(("ssl_verify_cert", "ssl_verify_identity"), switch),
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key"), file()),
}

"""MySQL and MariaDB."""

from functools import partial

from sqlalchemy_pool_exporter.dialects.arguments import accept_parameters_of
from sqlalchemy_pool_exporter.dialects.base import Dialect, Driver
from sqlalchemy_pool_exporter.dialects.mysql.arguments import (
    AIOMYSQL_TYPES,
    ASYNCMY_TYPES,
    COMMON_TYPES,
    MYSQLCONNECTOR_TYPES,
    MYSQLDB_TYPES,
    PYMYSQL_TYPES,
)
from sqlalchemy_pool_exporter.dialects.mysql.connection import (
    build_connect_timeout,
    build_mysqlconnector_arguments,
    build_mysqldb_arguments,
    build_pymysql_arguments,
    encode_password,
    limit_session,
    shut_down_socket,
)
from sqlalchemy_pool_exporter.dialects.mysql.errors import describe_error
from sqlalchemy_pool_exporter.dialects.mysql.status import read_status
from sqlalchemy_pool_exporter.dialects.mysql.url import translate_url
from sqlalchemy_pool_metrics.failures.mysql import (
    DRIVER_MODULES,
    classify_exact,
    classify_heuristic,
)

__all__ = ["MYSQL"]

MYSQL = Dialect(
    names=("mysql", "mariadb"),
    default_port=3306,
    has_host_names=True,
    sockets_have_ports=False,
    drivers=(
        Driver(
            "pymysql",
            extra="mysql",
            translate_url=partial(translate_url, driver="pymysql"),
            connect_arguments=build_pymysql_arguments,
            argument_types=PYMYSQL_TYPES,
            has_argument=accept_parameters_of("pymysql"),
            encode_password=encode_password,
            abort=shut_down_socket,
        ),
        Driver(
            "mysqldb",
            connect_arguments=build_mysqldb_arguments,
            argument_types=MYSQLDB_TYPES,
        ),
        *(
            Driver(
                name,
                translate_url=partial(translate_url, driver=name),
                connect_arguments=build_connect_timeout,
                argument_types=types,
                has_argument=accept_parameters_of(name),
                encode_password=encode_password,
            )
            for name, types in (("aiomysql", AIOMYSQL_TYPES), ("asyncmy", ASYNCMY_TYPES))
        ),
        Driver("cymysql", argument_types=COMMON_TYPES),
        Driver(
            "mysqlconnector",
            connect_arguments=build_mysqlconnector_arguments,
            argument_types=MYSQLCONNECTOR_TYPES,
        ),
        Driver(
            "mariadbconnector",
            connect_arguments=build_mysqldb_arguments,
            argument_types=COMMON_TYPES,
        ),
    ),
    driver_modules=DRIVER_MODULES,
    session_limit=limit_session,
    read_status=read_status,
    classify_exact=classify_exact,
    classify_heuristic=classify_heuristic,
    describe_error=describe_error,
)

"""MySQL and MariaDB."""

from functools import partial

from sqlalchemy_pool_exporter.dialects.base import Dialect, Driver
from sqlalchemy_pool_exporter.dialects.mysql.connection import (
    build_connect_timeout,
    build_mysqlconnector_arguments,
    build_mysqldb_arguments,
    build_pymysql_arguments,
    limit_session,
    shut_down_socket,
)
from sqlalchemy_pool_exporter.dialects.mysql.errors import (
    DRIVER_MODULES,
    classify_exact,
    classify_heuristic,
    describe_error,
)
from sqlalchemy_pool_exporter.dialects.mysql.status import read_status
from sqlalchemy_pool_exporter.dialects.mysql.url import translate_url

__all__ = ["MYSQL"]

MYSQL = Dialect(
    names=("mysql", "mariadb"),
    default_port=3306,
    sockets_have_ports=False,
    drivers=(
        Driver(
            "pymysql",
            package="'sqlalchemy-pool-exporter[mysql]'",
            translate_url=partial(translate_url, driver="pymysql"),
            connect_arguments=build_pymysql_arguments,
            abort=shut_down_socket,
        ),
        Driver("mysqldb", connect_arguments=build_mysqldb_arguments),
        *(
            Driver(
                name,
                translate_url=partial(translate_url, driver=name),
                connect_arguments=build_connect_timeout,
            )
            for name in ("aiomysql", "asyncmy")
        ),
        Driver("cymysql"),
        Driver("mysqlconnector", connect_arguments=build_mysqlconnector_arguments),
        Driver("mariadbconnector"),
    ),
    driver_modules=DRIVER_MODULES,
    session_limit=limit_session,
    read_status=read_status,
    classify_exact=classify_exact,
    classify_heuristic=classify_heuristic,
    describe_error=describe_error,
)

"""PostgreSQL, and servers that speak its protocol."""

from sqlalchemy_pool_exporter.dialects.arguments import accept_parameters_of
from sqlalchemy_pool_exporter.dialects.base import Dialect, Driver
from sqlalchemy_pool_exporter.dialects.postgresql.arguments import (
    ASYNCPG_TYPES,
    PG8000_TYPES,
    PSYCOPG2_TYPES,
    PSYCOPG_TYPES,
    is_known_to_libpq,
)
from sqlalchemy_pool_exporter.dialects.postgresql.connection import (
    build_asyncpg_arguments,
    build_libpq_arguments,
    build_pg8000_arguments,
    let_asyncpg_connect,
    limit_transaction,
    terminate,
)
from sqlalchemy_pool_exporter.dialects.postgresql.errors import describe_error
from sqlalchemy_pool_exporter.dialects.postgresql.status import read_status
from sqlalchemy_pool_exporter.dialects.postgresql.url import (
    DEFAULT_PORT,
    translate_for_asyncpg,
    translate_for_libpq,
)
from sqlalchemy_pool_metrics.failures.postgresql import (
    DRIVER_MODULES,
    classify_exact,
    classify_heuristic,
)

__all__ = ["POSTGRESQL"]

POSTGRESQL = Dialect(
    names=("postgresql",),
    aliases=("postgres",),
    default_port=DEFAULT_PORT,
    has_host_names=True,
    drivers=(
        Driver(
            "asyncpg",
            translate_url=translate_for_asyncpg,
            connect_arguments=build_asyncpg_arguments,
            argument_types=ASYNCPG_TYPES,
            has_argument=accept_parameters_of("asyncpg"),
            abort=terminate,
            before_cancel=let_asyncpg_connect,
        ),
        *(
            Driver(
                name,
                translate_url=translate_for_libpq,
                connect_arguments=build_libpq_arguments,
                argument_types=types,
                has_argument=is_known_to_libpq,
            )
            for name, types in (
                ("psycopg", PSYCOPG_TYPES),
                ("psycopg_async", PSYCOPG_TYPES),
                ("psycopg2", PSYCOPG2_TYPES),
                ("psycopg2cffi", PSYCOPG2_TYPES),
            )
        ),
        Driver(
            "pg8000",
            connect_arguments=build_pg8000_arguments,
            argument_types=PG8000_TYPES,
            has_argument=accept_parameters_of("pg8000"),
        ),
    ),
    driver_modules=DRIVER_MODULES,
    transaction_limit=limit_transaction,
    read_status=read_status,
    classify_exact=classify_exact,
    classify_heuristic=classify_heuristic,
    describe_error=describe_error,
)

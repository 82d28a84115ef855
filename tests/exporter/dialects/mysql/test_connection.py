from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.dialects import find_driver
from sqlalchemy_pool_exporter.dialects.mysql.connection import limit_session


@pytest.mark.parametrize(
    "driver", ["pymysql", "mysqldb", "aiomysql", "asyncmy", "mysqlconnector", "mariadbconnector"]
)
def test_each_driver_gives_up_connecting_in_time(driver: str) -> None:
    arguments = find_driver("mysql", driver).connect_arguments(4.5, None)
    assert any(value in (4.5, 5) for value in arguments.values())


@pytest.mark.parametrize("driver", ["pymysql", "aiomysql", "asyncmy"])
@pytest.mark.parametrize("password", ["plain", "pü£ß", "пароль€"])
def test_drivers_that_encode_passwords_as_latin_1_send_the_bytes_of_utf_8(
    driver: str, password: str
) -> None:
    given = find_driver("mysql", driver).encode_password(password)
    assert given.encode("latin-1") == password.encode("utf-8")


def test_a_limit_is_never_rounded_to_none() -> None:
    assert "max_execution_time = 1 " in limit_session(0.0001)

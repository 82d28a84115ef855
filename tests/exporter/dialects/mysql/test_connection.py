from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.dialects import find_driver
from sqlalchemy_pool_exporter.dialects.mysql.connection import limit_session


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb", "aiomysql", "asyncmy", "mysqlconnector"])
def test_each_driver_gives_up_connecting_in_time(driver: str) -> None:
    arguments = find_driver("mysql", driver).connect_arguments(4.5, None)
    assert any(value in (4.5, 5) for value in arguments.values())


def test_a_limit_is_never_rounded_to_none() -> None:
    assert "max_execution_time = 1 " in limit_session(0.0001)

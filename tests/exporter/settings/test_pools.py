from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sqlalchemy_pool_exporter.settings import PoolClass, PoolSettings


def read_pool(**keys: Any) -> PoolSettings:
    return PoolSettings.model_validate(keys)


def test_the_defaults_are_one_connection_tested_before_use() -> None:
    assert read_pool().model_dump() == {
        "pool_class": PoolClass.QUEUE,
        "size": 1,
        "max_overflow": 0,
        "timeout": 5.0,
        "recycle": None,
        "pre_ping": True,
        "use_lifo": False,
        "reset_on_return": "rollback",
    }


def test_every_option_of_create_engine_can_be_set() -> None:
    pool = read_pool(
        **{"class": "queue"},
        size=20,
        max_overflow=-1,
        timeout="30s",
        recycle=3600,
        pre_ping=False,
        use_lifo=True,
        reset_on_return="commit",
    )
    assert (pool.size, pool.max_overflow, pool.timeout, pool.recycle) == (20, -1, 30, 3600)
    assert (pool.pre_ping, pool.use_lifo, pool.reset_on_return) == (False, True, "commit")


@pytest.mark.parametrize("name", [*PoolClass])
def test_every_pool_class_has_a_name_and_takes_the_common_options(name: str) -> None:
    pool = read_pool(**{"class": name}, recycle="1h", pre_ping=True, reset_on_return="rollback")
    assert pool.pool_class == name


def test_null_in_yaml_is_the_null_pool() -> None:
    assert read_pool(**{"class": None}).pool_class is PoolClass.NULL


@pytest.mark.parametrize("value", [None, "none", "None", "null"])
def test_reset_on_return_can_be_turned_off(value: object) -> None:
    assert read_pool(reset_on_return=value).reset_on_return is None


def test_recycle_of_minus_one_is_never_as_in_sqlalchemy() -> None:
    assert read_pool(recycle=-1).recycle is None


def test_a_timeout_of_zero_does_not_wait() -> None:
    assert read_pool(timeout=0).timeout == 0


def test_the_class_can_be_given_by_its_name_in_python() -> None:
    assert PoolSettings(pool_class=PoolClass.NULL).pool_class is PoolClass.NULL


@pytest.mark.parametrize(
    ("pool_class", "key", "value", "takers"),
    [
        ("null", "size", 5, "queue or singleton_thread"),
        ("null", "max_overflow", 5, "queue"),
        ("static", "timeout", 5, "queue"),
        ("static", "size", 5, "queue or singleton_thread"),
        ("assertion", "use_lifo", True, "queue"),
        ("singleton_thread", "max_overflow", 5, "queue"),
    ],
)
def test_an_option_of_another_class_is_an_error(
    pool_class: str, key: str, value: object, takers: str
) -> None:
    message = f"no {key} with class {pool_class}, only with class {takers}"
    with pytest.raises(ValidationError, match=message):
        read_pool(**{"class": pool_class, key: value})


def test_the_connections_of_a_thread_can_be_limited() -> None:
    assert read_pool(**{"class": "singleton_thread"}, size=3).size == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class", "QueuePool"),
        ("size", -1),
        ("size", True),
        ("size", 1.5),
        ("max_overflow", -2),
        ("timeout", -1),
        ("recycle", 0),
        ("reset_on_return", "maybe"),
        ("pre_ping", "perhaps"),
    ],
)
def test_an_invalid_value_is_an_error(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read_pool(**{key: value})


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_pool().size = 5

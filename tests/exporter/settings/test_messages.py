from __future__ import annotations

import pytest
from pydantic import ValidationError

from sqlalchemy_pool_exporter.settings import DatabaseSettings, PoolSettings, Settings
from sqlalchemy_pool_exporter.settings.messages import (
    describe_validation_error,
    find_origin,
    list_keys,
    list_sections,
)


def describe(data: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(data)
    return str(describe_validation_error(caught.value, {}))


def test_keys_are_listed_as_they_are_written() -> None:
    assert list_keys(PoolSettings)[0] == "class"
    assert set(list_sections(DatabaseSettings)) == {"pool", "probe"}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lables", "labels"),
        ("pool_size", "pool.size"),
        ("pool.size", "pool.size"),
        ("interval", "probe.interval"),
        ("statement-timeout", "statement_timeout"),
        ("URL", "url"),
        ("dsn", "url"),
        ("host", "url"),
    ],
)
def test_an_unknown_key_of_a_database_gets_the_nearest_one(key: str, meant: str) -> None:
    message = describe({"databases": {"a": {"url": "sqlite://", key: 1}}})
    assert message.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("database", "databases"),
        ("app_dir", "app.dir"),
        ("labels", "databases.NAME.labels"),
        ("POOL_EXPORTER_DATABASES__PRIMARY__URL", "databases.primary.url"),
    ],
)
def test_an_unknown_key_of_the_top_level_gets_the_nearest_one(key: str, meant: str) -> None:
    message = describe({"databases": {"a": {"url": "sqlite://"}}, key: {}})
    assert message.endswith(f"did you mean {meant}?")


def test_an_unknown_key_that_resembles_none_gets_no_suggestion() -> None:
    assert "did you mean" not in describe({"app": {"dir": "/run"}, "zzz": 1})


def test_the_expectation_is_in_pydantics_words() -> None:
    assert describe({"databases": {"a": {"url": "sqlite://", "pool": {"size": -1}}}}) == (
        "databases.a.pool.size: got -1, expected greater than or equal to 0"
    )


def test_an_origin_is_that_of_the_value_or_of_the_nearest_one() -> None:
    origins = {("a", "b"): "line 1", ("c",): "line 2"}
    assert find_origin(("a", "b"), origins) == "line 1"
    assert find_origin(("a",), origins) == "line 1"
    assert find_origin(("c", "d", "e"), origins) == "line 2"
    assert find_origin(("x",), origins) == ""

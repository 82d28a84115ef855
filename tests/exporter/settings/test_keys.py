from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.settings import DatabaseSettings, PoolSettings, Settings
from sqlalchemy_pool_exporter.settings.messages import (
    find_section,
    list_keys,
    list_paths,
    list_sections,
)


def test_sections_are_found_by_path() -> None:
    assert find_section([]) is Settings
    assert find_section(["databases", "any name"]) is DatabaseSettings
    assert find_section(["databases", "any name", "pool"]) is PoolSettings
    with pytest.raises(KeyError):
        find_section(["nothing"])


def test_keys_are_listed_as_they_are_written() -> None:
    assert list_keys(PoolSettings)[0] == "class"
    assert set(list_sections(DatabaseSettings)) == {"pool", "probe"}


def test_every_key_has_a_path() -> None:
    paths = list(list_paths())
    assert {"listen", "log.level", "databases", "databases.*.url"} <= set(paths)
    assert {"databases.*.pool.class", "databases.*.probe.query", "app.per_process"} <= set(paths)

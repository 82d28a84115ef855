from __future__ import annotations

from typing import Any

import pytest

from sqlalchemy_pool_exporter.databases.connect_args import (
    build_connect_args,
    list_hosts,
    merge_arguments,
    select_hosts,
)
from sqlalchemy_pool_exporter.dialects import parse_url
from sqlalchemy_pool_exporter.settings import DatabaseSettings

URL = "postgresql+asyncpg://app@db/shop"
LISTS = {"host": ["a", "b", "c"], "port": [1, 2, 3], "user": "x"}
TEXTS = {"host": "a,b,c", "port": "1,,3", "user": "x"}


@pytest.mark.parametrize("arguments", [LISTS, TEXTS])
def test_a_host_that_is_not_usable_goes_with_its_port(arguments: dict[str, Any]) -> None:
    assert list_hosts(arguments) == ["a", "b", "c"]
    assert select_hosts(arguments, {"a", "b", "c"}) == arguments
    kept = select_hosts(arguments, {"a", "c"})
    assert list_hosts(kept) == ["a", "c"]
    assert kept["port"] in ([1, 3], "1,3")
    assert kept["user"] == "x"


@pytest.mark.parametrize("port", [5432, "5432"])
def test_one_port_for_all_hosts_stays(port: int | str) -> None:
    assert select_hosts({"host": "a,b", "port": port}, {"b"}) == {"host": "b", "port": port}


def test_a_host_with_a_hostaddr_of_libpq_is_not_looked_up() -> None:
    arguments = {"host": "a,b", "hostaddr": "127.0.0.1,"}
    assert list_hosts(arguments) == ["127.0.0.1", "b"]
    assert select_hosts(arguments, {"127.0.0.1"}) == {"host": "a", "hostaddr": "127.0.0.1"}


def test_arguments_without_a_host_stay_unchanged() -> None:
    assert list_hosts({"dsn": "shop"}) == []
    assert select_hosts({"dsn": "shop"}, set()) == {"dsn": "shop"}


def test_later_arguments_win_and_mappings_are_merged() -> None:
    ours = {"timeout": 5, "server_settings": {"application_name": "exporter", "jit": "off"}}
    theirs = {"timeout": 1, "server_settings": {"application_name": "mine"}, "ssl": True}
    assert merge_arguments(ours, theirs) == {
        "timeout": 1,
        "server_settings": {"application_name": "mine", "jit": "off"},
        "ssl": True,
    }
    assert ours["timeout"] == 5


def test_the_options_of_libpq_are_joined() -> None:
    merged = merge_arguments({"options": "-c a=1"}, {"options": "-c a=2"})
    assert merged == {"options": "-c a=1 -c a=2"}


def test_configured_arguments_reach_the_driver_in_its_own_types() -> None:
    arguments = {"timeout": "5", "server_settings": {"work_mem": 4096}}
    settings = DatabaseSettings.model_validate({"url": URL, "connect_args": arguments})
    url = parse_url(URL)
    _, built = build_connect_args(url.url.get_dialect()(), url, settings)
    assert built["timeout"] == 5
    assert built["server_settings"]["work_mem"] == "4096"
    assert built["server_settings"]["application_name"]

from __future__ import annotations

from typing import Any

from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.settings.sources import DocumentSource, VariableSource
from sqlalchemy_pool_exporter.settings.yaml_file import Document

URL = "postgres://app:secret@db/orders"


def read(variables: dict[str, str], *databases: str) -> dict[str, Any]:
    return build(variables, *databases)()


def build(variables: dict[str, str], *databases: str) -> VariableSource:
    prefixed = {f"POOL_EXPORTER_{name}": value for name, value in variables.items()}
    return VariableSource(Settings, prefixed, databases)


def test_a_variable_is_a_key() -> None:
    source = build(
        {"LISTEN": ":9000", "DATABASES__PRIMARY__URL": URL, "DATABASES__PRIMARY__POOL__SIZE": "5"}
    )
    assert source() == {
        "listen": ":9000",
        "databases": {"primary": {"url": URL, "pool": {"size": "5"}}},
    }
    name = "POOL_EXPORTER_DATABASES__PRIMARY__POOL__SIZE"
    assert source.origins[("databases", "primary", "pool", "size")] == name


def test_mappings_can_be_json_and_be_refined_in_any_order() -> None:
    variables = {
        "DATABASES__A__LABELS__TIER": "2",
        "DATABASES__A__LABELS": '{"team": "x", "tier": "1"}',
        "DATABASES__A": '{"role": "primary"}',
        "DATABASES": '{"a": {"role": "any", "url": "sqlite://"}}',
    }
    expected = {"url": "sqlite://", "role": "primary", "labels": {"team": "x", "tier": "2"}}
    assert read(variables) == {"databases": {"a": expected}}
    assert read(dict(reversed(variables.items()))) == {"databases": {"a": expected}}


def test_text_that_is_no_json_is_text() -> None:
    variables = {"LISTEN": "5", "LOG": "{", "PROBE__QUERY": "[not json", "DATABASES__A": "4711"}
    assert read(variables) == {
        "listen": "5",
        "log": "{",
        "probe": {"query": "[not json"},
        "databases": {"a": "4711"},
    }
    assert read({"LOG": "[" * 100_000}) == {"log": "[" * 100_000}


def test_json_in_the_wrong_place_is_json_too() -> None:
    variables = {"LISTEN": '{"x": 1}', "PROBE__QUERY": "[1]", "LISTN__X": '{"x": 1}'}
    assert read(variables) == {
        "listen": {"x": 1},
        "probe": {"query": [1]},
        "listn": {"x": {"x": 1}},
    }


def test_the_driver_s_arguments_have_types_at_any_depth() -> None:
    arguments = {
        "TIMEOUT": "5",
        "TLS": "true",
        "NAME": "exporter",
        "SETTINGS__JIT": "false",
        "SETTINGS__MORE__LEVELS": "[1]",
    }
    data = read({f"DATABASES__A__CONNECT_ARGS__{name}": arguments[name] for name in arguments})
    assert data["databases"]["a"]["connect_args"] == {
        "timeout": 5,
        "tls": True,
        "name": "exporter",
        "settings": {"jit": False, "more": {"levels": [1]}},
    }


def test_a_mapping_wins_over_a_value_of_the_same_key() -> None:
    assert read({"LOG": "info", "LOG__LEVEL": "debug"}) == {"log": {"level": "debug"}}


def test_no_variable_is_lost() -> None:
    variables = {
        "LISTN": ":9000",
        "LOGGING__LEVEL": "debug",
        "LISTEN__HOST": "::",
        "DATABASES__A__URL": URL,
        "DATABASES__A__URL__HOST": "db",
        "DATABASES__A__POOL__SIZE__MAX": "5",
        "DATABASES__": "x",
    }
    assert read(variables) == {
        "listn": ":9000",
        "logging": {"level": "debug"},
        "listen": {"host": "::"},
        "databases": {"a": {"url": {"host": "db"}, "pool": {"size": {"max": "5"}}}, "": "x"},
    }


def test_a_variable_s_database_gets_the_name_in_the_file() -> None:
    source = build({"DATABASES__ORDERS_REPLICA__ROLE": "replica"}, "Orders-Replica")
    assert source() == {"databases": {"Orders-Replica": {"role": "replica"}}}
    assert list(source.origins) == [("databases", "Orders-Replica", "role")]
    by_json = read({"DATABASES": '{"orders-replica": {"role": "any"}}'}, "Orders_Replica")
    assert by_json == {"databases": {"Orders_Replica": {"role": "any"}}}


def test_a_document_s_keys_are_taken_literally() -> None:
    data: dict[Any, Any] = {"LISTEN": 1, 2: 3, "databases": {"A": None, 4: 5}}
    source = DocumentSource(Settings, Document(data))
    assert source() == {"LISTEN": 1, "2": 3, "databases": {"A": None, 4: 5}}
    assert source.list_databases() == ["A", "4"]
    assert DocumentSource(Settings, Document({"databases": "x"})).list_databases() == []

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter.settings.errors import SettingsErrors
from sqlalchemy_pool_exporter.settings.sources import (
    drop_overridden_alternatives,
    find_variables,
    nest_variables,
    read_secrets_dir,
)
from sqlalchemy_pool_exporter.settings.yaml_file import Document

URL = "postgres://app:secret@db/orders"


def read(variables: dict[str, str], *databases: str) -> Mapping[str, Any]:
    return nest(variables, *databases).data


def nest(variables: dict[str, str], *databases: str) -> Document:
    prefixed = {f"POOL_EXPORTER_{name}": value for name, value in variables.items()}
    return nest_variables(prefixed, databases)


def test_a_variable_is_a_key() -> None:
    document = nest(
        {"LISTEN": ":9000", "DATABASES__PRIMARY__URL": URL, "DATABASES__PRIMARY__POOL__SIZE": "5"}
    )
    assert document.data == {
        "listen": ":9000",
        "databases": {"primary": {"url": URL, "pool": {"size": "5"}}},
    }
    name = "POOL_EXPORTER_DATABASES__PRIMARY__POOL__SIZE"
    assert document.origins[("databases", "primary", "pool", "size")] == name


def test_json_mappings_can_be_refined_in_any_order() -> None:
    variables = {
        "DATABASES__A__LABELS__TIER": "2",
        "DATABASES__A__LABELS": '{"team": "x", "tier": "1"}',
        "DATABASES__A": '{"role": "primary"}',
        "DATABASES": '{"a": {"role": "any", "url": "sqlite://"}}',
    }
    expected = {"url": "sqlite://", "role": "primary", "labels": {"team": "x", "tier": "2"}}
    assert read(variables) == {"databases": {"a": expected}}
    assert read(dict(reversed(variables.items()))) == {"databases": {"a": expected}}


def test_invalid_json_stays_text() -> None:
    variables = {"LISTEN": "5", "LOG": "{", "PROBE__QUERY": "[not json", "DATABASES__A": "4711"}
    assert read(variables) == {
        "listen": "5",
        "log": "{",
        "probe": {"query": "[not json"},
        "databases": {"a": "4711"},
    }
    assert read({"LOG": "[" * 100_000}) == {"log": "[" * 100_000}


def test_json_is_decoded_for_every_key() -> None:
    variables = {"LISTEN": '{"x": 1}', "PROBE__QUERY": "[1]", "LISTN__X": '{"x": 1}'}
    assert read(variables) == {
        "listen": {"x": 1},
        "probe": {"query": [1]},
        "listn": {"x": {"x": 1}},
    }


def test_the_drivers_arguments_have_types_at_any_depth() -> None:
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


def test_a_nested_variable_wins_over_a_plain_one() -> None:
    assert read({"LOG": "info", "LOG__LEVEL": "debug"}) == {"log": {"level": "debug"}}


def test_unknown_variables_are_kept() -> None:
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


def test_a_variables_database_gets_the_name_in_the_file() -> None:
    document = nest({"DATABASES__ORDERS_REPLICA__ROLE": "replica"}, "Orders-Replica")
    assert document.data == {"databases": {"Orders-Replica": {"role": "replica"}}}
    assert list(document.origins) == [("databases", "Orders-Replica", "role")]
    by_json = read({"DATABASES": '{"orders-replica": {"role": "any"}}'}, "Orders_Replica")
    assert by_json == {"databases": {"Orders_Replica": {"role": "any"}}}


def test_a_name_may_have_any_number_of_levels() -> None:
    assert list(read({"__".join(["A"] * 5000): "x"})) == ["a"]


def test_an_alternative_is_dropped_where_the_other_one_is_given() -> None:
    lower = {"databases": {"a": {"url": URL, "role": "any"}, "b": {"url": URL}}, "listen": ":1"}
    upper = {"databases": {"a": {"url_file": "/run/url"}}}
    assert drop_overridden_alternatives(lower, upper) == {
        "databases": {"a": {"role": "any"}, "b": {"url": URL}},
        "listen": ":1",
    }


def test_the_prefix_matches_in_any_case() -> None:
    environ = {"POOL_EXPORTER_LISTEN": ":9000", "pool_exporter_app__dir": "/run", "PATH": "/bin"}
    assert find_variables(environ) == {
        "POOL_EXPORTER_LISTEN": ":9000",
        "POOL_EXPORTER_APP__DIR": "/run",
    }


def test_an_empty_variable_counts_as_not_set() -> None:
    assert find_variables({"POOL_EXPORTER_LISTEN": ""}) == {}


def test_the_secrets_directory_is_not_a_setting() -> None:
    assert find_variables({"POOL_EXPORTER_SECRETS_DIR": "/run/secrets"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "POOL_EXPORTER_SERVICE_HOST",
        "POOL_EXPORTER_SERVICE_PORT",
        "POOL_EXPORTER_SERVICE_PORT_METRICS",
        "POOL_EXPORTER_PORT",
        "POOL_EXPORTER_PORT_9723_TCP",
        "POOL_EXPORTER_PORT_9723_TCP_ADDR",
        "POOL_EXPORTER_DEV_PORT_9723_TCP_PROTO",
    ],
)
def test_the_variables_of_a_kubernetes_service_are_ignored(name: str) -> None:
    assert find_variables({name: "tcp://10.0.0.1:9723"}) == {}


def test_a_plain_port_is_not_ignored() -> None:
    assert find_variables({"POOL_EXPORTER_PORT": "9000"}) == {"POOL_EXPORTER_PORT": "9000"}


def test_the_files_of_a_secrets_directory_are_variables(tmp_path: Path) -> None:
    (tmp_path / "POOL_EXPORTER_DATABASES__A__URL").write_text(f"{URL}\n")
    (tmp_path / "pool_exporter_databases__b__url").write_text(f"{URL} ")
    (tmp_path / "unrelated").write_bytes(b"\xff")
    (tmp_path / "..data").mkdir()
    assert read_secrets_dir({"POOL_EXPORTER_SECRETS_DIR": str(tmp_path)}) == {
        "POOL_EXPORTER_DATABASES__A__URL": URL,
        "POOL_EXPORTER_DATABASES__B__URL": f"{URL} ",
    }


def test_a_secret_can_be_a_link_to_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (tmp_path / "elsewhere").write_text(":9000")
    (folder / "POOL_EXPORTER_LISTEN").symlink_to(tmp_path / "elsewhere")
    secrets = read_secrets_dir({"POOL_EXPORTER_SECRETS_DIR": str(folder)})
    assert secrets == {"POOL_EXPORTER_LISTEN": ":9000"}


def test_without_a_secrets_directory_there_are_no_secrets() -> None:
    assert read_secrets_dir({}) == {}


def test_a_secrets_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(SettingsErrors) as caught:
        read_secrets_dir({"POOL_EXPORTER_SECRETS_DIR": str(folder)})
    assert str(caught.value) == (
        f"POOL_EXPORTER_SECRETS_DIR: got {folder}, expected a readable directory "
        "(no such file or directory)"
    )


def test_every_secret_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pool_exporter_listen").mkdir()
    (tmp_path / "pool_exporter_log").write_text("")
    with pytest.raises(SettingsErrors) as caught:
        read_secrets_dir({"POOL_EXPORTER_SECRETS_DIR": str(tmp_path)})
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "POOL_EXPORTER_LISTEN: got pool_exporter_listen, expected a readable file (is a directory)",
        "POOL_EXPORTER_LOG: got pool_exporter_log, expected a file that is not empty",
    ]

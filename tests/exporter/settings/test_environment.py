from __future__ import annotations

from pathlib import Path

import pytest

from exporter.settings.environment import read_environment
from exporter.settings.errors import SettingsErrors

URL = "postgres://app:secret@db/orders"


def test_a_variable_is_a_key() -> None:
    document = read_environment(
        {
            "POOL_EXPORTER_LISTEN": ":9000",
            "POOL_EXPORTER_DATABASES__PRIMARY__URL": URL,
            "pool_exporter_databases__primary__pool__size": "5",
            "PATH": "/bin",
        }
    )
    assert document.data == {
        "listen": ":9000",
        "databases": {"primary": {"url": URL, "pool": {"size": "5"}}},
    }
    name = "POOL_EXPORTER_DATABASES__PRIMARY__POOL__SIZE"
    assert document.origins[("databases", "primary", "pool", "size")] == name


def test_an_empty_variable_is_none() -> None:
    assert read_environment({"POOL_EXPORTER_LISTEN": ""}).data == {}


def test_mappings_can_be_json_and_be_refined() -> None:
    document = read_environment(
        {
            "POOL_EXPORTER_DATABASES__A__LABELS": '{"team": "x", "tier": "1"}',
            "POOL_EXPORTER_DATABASES__A__LABELS__TIER": "2",
            "POOL_EXPORTER_DATABASES__A__PROBE__QUERY": "[not json",
        }
    )
    assert document.data == {
        "databases": {"a": {"labels": {"team": "x", "tier": "2"}, "probe": {"query": "[not json"}}}
    }


def test_the_driver_s_arguments_have_types() -> None:
    prefix = "POOL_EXPORTER_DATABASES__A__CONNECT_ARGS"
    document = read_environment(
        {f"{prefix}__TIMEOUT": "5", f"{prefix}__TLS": "true", f"{prefix}__NAME": "exporter"}
    )
    arguments = document.data["databases"]["a"]["connect_args"]
    assert arguments == {"timeout": 5, "tls": True, "name": "exporter"}


def test_a_mapping_wins_over_a_value_of_the_same_key() -> None:
    document = read_environment({"POOL_EXPORTER_LOG": "info", "POOL_EXPORTER_LOG__LEVEL": "debug"})
    assert document.data == {"log": {"level": "debug"}}


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
def test_what_kubernetes_says_about_a_service_of_that_name_is_ignored(name: str) -> None:
    assert read_environment({name: "tcp://10.0.0.1:9723"}).data == {}


def test_a_port_of_its_own_is_not_ignored() -> None:
    assert read_environment({"POOL_EXPORTER_PORT": "9000"}).data == {"port": "9000"}


def test_the_files_of_a_secrets_directory_are_variables_that_yield_to_real_ones(
    tmp_path: Path,
) -> None:
    (tmp_path / "POOL_EXPORTER_DATABASES__A__URL").write_text(f"{URL}\n")
    (tmp_path / "pool_exporter_databases__b__url").write_text("overridden")
    (tmp_path / "unrelated").write_text("x")
    (tmp_path / "..data").mkdir()
    document = read_environment(
        {
            "POOL_EXPORTER_SECRETS_DIR": str(tmp_path),
            "POOL_EXPORTER_DATABASES__B__URL": URL,
        }
    )
    assert document.data == {"databases": {"a": {"url": URL}, "b": {"url": URL}}}


def test_a_secrets_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(SettingsErrors) as caught:
        read_environment({"POOL_EXPORTER_SECRETS_DIR": str(folder)})
    assert str(caught.value) == (
        f"POOL_EXPORTER_SECRETS_DIR: got {folder}, expected a readable directory "
        "(no such file or directory)"
    )


def test_a_secret_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pool_exporter_listen").mkdir()
    with pytest.raises(SettingsErrors, match=r"POOL_EXPORTER_LISTEN: got .*, expected a readable"):
        read_environment({"POOL_EXPORTER_SECRETS_DIR": str(tmp_path)})

from __future__ import annotations

from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.settings.errors import SettingsErrors
from sqlalchemy_pool_exporter.settings.sources import find_variables, read_secrets_dir

URL = "postgres://app:secret@db/orders"


def test_variables_with_the_prefix_are_ours_whatever_their_case() -> None:
    environ = {"POOL_EXPORTER_LISTEN": ":9000", "pool_exporter_app__dir": "/run", "PATH": "/bin"}
    assert find_variables(environ) == {
        "POOL_EXPORTER_LISTEN": ":9000",
        "POOL_EXPORTER_APP__DIR": "/run",
    }


def test_an_empty_variable_is_none() -> None:
    assert find_variables({"POOL_EXPORTER_LISTEN": ""}) == {}


def test_the_secrets_directory_is_no_setting() -> None:
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
def test_what_kubernetes_says_about_a_service_of_that_name_is_ignored(name: str) -> None:
    assert find_variables({name: "tcp://10.0.0.1:9723"}) == {}


def test_a_port_of_its_own_is_not_ignored() -> None:
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

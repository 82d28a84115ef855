from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sqlalchemy_pool_exporter.settings import DatabaseSettings, Role, SettingsError
from sqlalchemy_pool_exporter.settings.secret_files import MAX_BYTES

CANARY = "canary"


def read_database(**keys: Any) -> DatabaseSettings:
    return DatabaseSettings.model_validate(keys)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_by_default_any_role_is_expected() -> None:
    database = read_database(url="postgres://app@db/orders")
    assert database.role is Role.ANY
    assert database.server_metrics is True
    assert (database.connect_args, database.labels, database.statement_timeout) == ({}, {}, None)


def test_a_url_is_read_for_its_driver() -> None:
    url = read_database(url="postgres://app:secret@db/orders").read_url()
    assert url.safe == "postgresql+asyncpg://app:***@db/orders"
    assert url.url.password == "secret"


def test_no_secret_is_in_the_repr() -> None:
    database = read_database(
        url=f"postgres://app:{CANARY}@db/orders", connect_args={"password": CANARY}
    )
    assert CANARY not in f"{database!r} {database}"


def test_url_and_password_files_are_read_each_time(tmp_path: Path) -> None:
    url_file = write(tmp_path / "url", " postgres://app:old@db/orders\n")
    password_file = write(tmp_path / "password", "first \n")
    database = read_database(url_file=url_file, password_file=password_file)
    assert database.read_url().url.password == "first "
    write(password_file, "second")
    write(url_file, "mysql://app@db/orders")
    assert database.read_url().safe == "mysql+pymysql://app:***@db/orders"
    assert database.read_url().url.password == "second"


def test_a_password_file_goes_with_a_url(tmp_path: Path) -> None:
    password_file = write(tmp_path / "password", "p@ss/word")
    database = read_database(url="postgres://app@db/orders", password_file=password_file)
    assert database.read_url().url.password == "p@ss/word"
    assert "p%40ss%2Fword" in database.read_url().secrets


@pytest.mark.parametrize("key", ["url_file", "password_file"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "a readable file (no such file or directory)"),
        ("", "a file that is not empty"),
        (" \n", "a file that is not empty"),
        (b"\xff\xfe" + CANARY.encode(), "a file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, key: str, content: str | bytes | None, expected: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        write(path, content)
    keys = {"url": "postgres://db"} if key == "password_file" else {}
    database = read_database(**keys, **{key: path})
    with pytest.raises(SettingsError) as caught:
        database.read_url()
    assert str(caught.value) == f"{key}: got {path}, expected {expected}"
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_all_unreadable_files_are_reported_together(tmp_path: Path) -> None:
    url_file = write(tmp_path / "url", f"postgres://app:{CANARY}@db/x?port=y")
    for file, problem in ((url_file, "got port=y"), (tmp_path / "no", f"got {tmp_path}/no")):
        with pytest.raises(SettingsError) as caught:
            read_database(url_file=file, password_file=tmp_path).read_url()
        first, second = str(caught.value).splitlines()
        assert first.startswith(f"password_file: got {tmp_path}, expected a readable file")
        assert second.startswith(f"url_file: {problem}, expected")
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a readable file \(is a directory\)"):
        read_database(url_file=tmp_path).read_url()


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "url")
    with pytest.raises(SettingsError, match=r"a readable file \(not a regular file\)"):
        read_database(url_file=tmp_path / "url").read_url()


def test_a_file_that_is_too_large_for_a_secret_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "url", "x" * (MAX_BYTES + 1))
    with pytest.raises(SettingsError, match=r"a readable file \(larger than 1048576 bytes\)"):
        read_database(url_file=path).read_url()


@pytest.mark.parametrize("path", [f"postgres://app:{CANARY}@db", "\0canary"])
def test_a_secret_in_place_of_its_file_is_not_shown(path: str) -> None:
    with pytest.raises(SettingsError, match=r"got \*\*\*, expected a readable file") as caught:
        read_database(url_file=path).read_url()
    assert CANARY not in str(caught.value)


def test_an_invalid_url_in_a_file_is_an_error_without_its_password(tmp_path: Path) -> None:
    url_file = write(tmp_path / "url", f"postgres://app:{CANARY}@db/x?sslmode=on&port=y")
    with pytest.raises(SettingsError) as caught:
        read_database(url_file=url_file).read_url()
    assert str(caught.value).splitlines() == [
        "url_file: got port=y, expected a port, or one for each host",
        "url_file: got sslmode=on, expected one of disable, allow, prefer, require, verify-ca, "
        "verify-full",
    ]
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "the database's URL, here or in a url_file"),
        ({"url": "sqlite://", "url_file": "/x"}, "either url or url_file, not both"),
        ({"url": "foo://db"}, "a database URL"),
        ({"url": "sqlite://", "labels": {"origin": "x"}}, "another name"),
        ({"url": "sqlite://", "labels": {"__x": "x"}}, "a label name of letters"),
        ({"url": "sqlite://", "labels": {"9": "x"}}, "a label name of letters"),
        ({"url": "sqlite://", "role": "master"}, "'primary', 'replica' or 'any'"),
    ],
)
def test_an_invalid_database_is_an_error(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read_database(**keys)


def test_an_error_does_not_quote_the_url() -> None:
    with pytest.raises(ValidationError) as caught:
        read_database(url=f"foo://app:{CANARY}@db/orders")
    assert CANARY not in "".join(traceback.format_exception(caught.value))

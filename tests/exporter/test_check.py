from __future__ import annotations

import io
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.check import check_config, load_checked_settings
from tests.exporter.commands import run_command

CANARY = "canary"


# How variables give text, a number and a boolean of JSON.
PAIRS = (("SEARCH_PATH", "shop"), ("STATEMENT_TIMEOUT", "1000"), ("JIT", "false"))


def check(config: Path | None, **variables: str) -> tuple[int, list[str]]:
    output = io.StringIO()
    environ = {f"POOL_EXPORTER_{name}": value for name, value in variables.items()}
    status = check_config(config, environ, output)
    return status, output.getvalue().splitlines()


def test_a_valid_configuration_is_counted() -> None:
    assert check(None, DATABASES__A__URL="sqlite://") == (
        0,
        ["configuration is valid: 1 database"],
    )
    assert check(None, DATABASES__A__URL="sqlite://", DATABASES__B__URL="mysql://db") == (
        0,
        ["configuration is valid: 2 databases"],
    )


def test_every_mistake_in_a_url_file_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"postgres://app:{CANARY}@db?sslmode=on&port=x")
    assert check(None, DATABASES__A__URL_FILE=str(file)) == (
        1,
        [
            "databases.a.url_file (POOL_EXPORTER_DATABASES__A__URL_FILE): got port=x, expected a "
            "port, or one for each host",
            "databases.a.url_file (POOL_EXPORTER_DATABASES__A__URL_FILE): got sslmode=on, expected "
            "one of disable, allow, prefer, require, verify-ca, verify-full",
        ],
    )


def test_the_outcome_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config(None, {"POOL_EXPORTER_DATABASES__A__URL": "sqlite://"}) == 0
    assert capsys.readouterr().out == "configuration is valid: 1 database\n"


def test_the_web_configuration_is_checked_beside_other_mistakes(tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    status, lines = check(None, DATABASES__A__URL="nonsense", WEB__CONFIG_FILE=str(web))
    assert status == 1
    assert [line.split()[0] for line in lines] == ["databases.a.url", f"{web}:"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PRIMARY_URL", "sqlite://", "databases.primary.url, that is two underscores?"),
        ("A", '{"url": sqlite', "valid JSON"),
        ("A", "sqlite://", "a mapping, at least with url"),
    ],
)
def test_text_in_place_of_a_database_is_explained(name: str, value: str, expected: str) -> None:
    _, lines = check(None, **{f"DATABASES__{name}": value})
    assert [line.endswith(expected) for line in lines] == [True]


def test_a_missing_file_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "no.yaml"
    assert check(file) == (
        1,
        [f"{file}: no such file or directory, expected a readable YAML file"],
    )


def test_the_applications_folder_may_be_missing_but_not_its_parent(tmp_path: Path) -> None:
    assert check(None, APP__DIR=str(tmp_path)) == (0, ["configuration is valid: 0 databases"])
    assert check(None, APP__DIR=str(tmp_path / "later"))[0] == 0
    (tmp_path / "file").touch()
    for folder, expected in (
        (tmp_path / "file", "a folder, not a file"),
        (tmp_path / "no" / "such", f"a folder inside an existing one, which {tmp_path}/no is not"),
        (tmp_path / ("x" * 300), "a readable folder (file name too long)"),
    ):
        line = f"app.dir (POOL_EXPORTER_APP__DIR): got {folder}, expected {expected}"
        assert check(None, APP__DIR=str(folder)) == (1, [line])


def test_serving_starts_without_the_applications_folder(tmp_path: Path) -> None:
    folder = tmp_path / "no" / "such"
    environ = {"POOL_EXPORTER_APP__DIR": str(folder)}
    assert load_checked_settings(None, environ).app.dir == folder


def check_syntax(config: Path | None, **variables: str) -> tuple[int, list[str]]:
    output = io.StringIO()
    environ = {f"POOL_EXPORTER_{name}": value for name, value in variables.items()}
    status = check_config(config, environ, output, syntax_only=True)
    return status, output.getvalue().splitlines()


@pytest.mark.parametrize(
    "database",
    [
        {"URL_FILE": "/no/such/file"},
        {"URL": "postgres://app@db", "PASSWORD_FILE": "/no/such/file"},
        {"URL": "postgres://app@db?sslmode=verify-full&sslrootcert=/no/such/file"},
        {"URL": "postgresql+psycopg://app@db?sslcert=/no/such/file&sslkey=/no/such/file"},
        {"URL": "mysql://app@db?ssl_ca=/no/such/file&ssl_cert=/no/such/file"},
    ],
)
def test_syntax_is_checked_where_other_files_are_missing(database: dict[str, str]) -> None:
    variables = {f"DATABASES__A__{key}": value for key, value in database.items()}
    variables |= {"APP__DIR": "/no/such/folder", "SECRETS_DIR": "/no/such/folder"}
    assert check(None, **variables)[0] == 1
    assert check_syntax(None, **variables) == (0, ["configuration is valid: 1 database"])


def test_invalid_syntax_is_reported_without_other_files() -> None:
    variables = {"DATABASES__A__URL": "postgres://db?sslmode=on", "DATABASES__A__ROLE": "master"}
    assert check_syntax(None, **variables) == check(None, **variables)
    assert check_syntax(None, **variables)[0] == 1


def test_arguments_are_checked_without_other_files(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(
        "databases: {a: {url: mysql://db/x, connect_args: {ssl: {ca: /none}, autocommit: perhaps}},"
        " b: {url_file: /none, connect_args: {autocommit: perhaps}}}"
    )
    status, lines = check_syntax(file)
    key = "databases.a.connect_args.autocommit"
    assert (status, lines) == (1, [f"{key} (line 1): got 'perhaps', expected true or false"])


def test_an_argument_of_the_environment_is_named_by_its_variable() -> None:
    prefix = "DATABASES__A__"
    settings = f"{prefix}CONNECT_ARGS__SERVER_SETTINGS__"
    arguments = {f"{settings}{key}": value for key, value in PAIRS}
    status, lines = check(None, **{f"{prefix}URL": "postgres://db/x"}, **arguments)
    place = f"databases.a.connect_args.server_settings.jit (POOL_EXPORTER_{settings}JIT)"
    assert (status, lines) == (1, [f"{place}: got false, expected text: put it in quotes"])


def test_the_command_checks_the_syntax_of_the_example_anywhere() -> None:
    example = str(Path(__file__).parents[2] / "config" / "example.yaml")
    finished = run_command("check-config", "--syntax-only", example)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == "configuration is valid: 2 databases\n"

from __future__ import annotations

import io
from pathlib import Path

import pytest

from exporter.check import check_config

BAD = Path(__file__).parent / "bad"
CANARY = "canary"


def check(config: Path | None, **variables: str) -> tuple[int, list[str]]:
    output = io.StringIO()
    environ = {f"POOL_EXPORTER_{name}": value for name, value in variables.items()}
    status = check_config(config, environ, output)
    return status, output.getvalue().splitlines()


@pytest.mark.parametrize("file", sorted(BAD.iterdir()), ids=lambda file: file.stem)
def test_a_bad_file_is_told_all_its_mistakes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file in bad/ ends in the lines that are expected, after `#: `."""
    monkeypatch.chdir(BAD)
    expected = [line[3:] for line in file.read_text().splitlines() if line.startswith("#: ")]
    status, lines = check(Path(file.name))
    assert lines == expected
    assert status == 1


@pytest.mark.parametrize("file", sorted(BAD.iterdir()), ids=lambda file: file.stem)
def test_no_mistake_shows_a_password(file: Path) -> None:
    text = file.read_text()
    assert CANARY not in "".join(line for line in text.splitlines() if line.startswith("#: "))


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
            "databases.a.url_file: got port=x, expected a port, or one for each host",
            "databases.a.url_file: got sslmode=on, expected one of disable, allow, prefer, "
            "require, verify-ca, verify-full",
        ],
    )


def test_what_is_said_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config(None, {"POOL_EXPORTER_DATABASES__A__URL": "sqlite://"}) == 0
    assert capsys.readouterr().out == "configuration is valid: 1 database\n"


def test_a_missing_file_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "no.yaml"
    assert check(file) == (
        1,
        [f"{file}: no such file or directory, expected a readable YAML file"],
    )

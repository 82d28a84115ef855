from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.servers.programs import Program, find_program


def test_a_missing_program_skips_the_test_and_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install the-package"):
        find_program("no-such-program", "the-package")


def test_a_missing_program_is_a_failure_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        find_program("no-such-program", "the-package")


def test_a_program_that_ends_early_shows_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    with (
        Program(command, tmp_path / "log") as program,
        pytest.raises(RuntimeError, match="no such setting"),
    ):
        program.wait_until_ready(lambda: False)

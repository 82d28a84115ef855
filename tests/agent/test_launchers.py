"""The exported folder on PYTHONPATH of programs that launchers of other tools start.

Each launcher puts a folder with a sitecustomize of its own first on the path. Most of those run the
next sitecustomize, which is ours. OpenTelemetry's and Elastic's run none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.agent.injected_programs import AGENT, BASE_PYTHON, CREATE, RECORDED, USE, run_well, write

OPENTELEMETRY = ("opentelemetry-instrument",)
ELASTIC = ("elasticapm-run",)
RUN_OURS = (("ddtrace-run",), ("newrelic-admin", "run-program"))
# No launcher sends anything, and none needs an account.
QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_ENABLED": "false",
    "ELASTIC_APM_CENTRAL_CONFIG": "false",
    "ELASTIC_APM_DISABLE_SEND": "true",
    "ELASTIC_APM_CLOUD_PROVIDER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_TRACES_EXPORTER": "none",
}
# The last line says which sitecustomize is first: the launcher was really there.
PROGRAM = f"""{CREATE}{USE}
import os, sys
path = os.environ["PYTHONPATH"].split(os.pathsep)
print(next(each for each in path if os.path.exists(os.path.join(each, "sitecustomize.py"))))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "agent"
    run_well("-m", "sqlalchemy_pool_metrics", "export", folder, path=[AGENT.parent])
    return folder


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write(tmp_path / "program.py", PROGRAM) / "program.py"


def find_launcher(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip(f"{name} is missing: pip install --group dev")
    return str(path)


def launch(launcher: Sequence[str], folder: Path, *arguments: str | Path) -> list[str]:
    """Return the lines that a Python prints when the launcher starts it."""
    name, *options = launcher
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(
        [find_launcher(name), *options, *map(str, arguments)],
        env={**kept, **QUIET, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("launcher", [OPENTELEMETRY, *RUN_OURS], ids=" ".join)
def test_a_program_is_recorded(folder: Path, program: Path, launcher: Sequence[str]) -> None:
    *_, recorded, first = launch(launcher, folder, sys.executable, program)

    assert recorded == RECORDED
    assert first != str(folder)


def test_an_instrumentation_that_opentelemetry_loads_sees_no_difference(
    folder: Path, program: Path
) -> None:
    check = """
import importlib.metadata, sys
found = importlib.metadata.entry_points(group="opentelemetry_pre_instrument")
print([each.name for each in found], "opentelemetry.sdk" in sys.modules)
"""
    write(program, check)

    assert launch(OPENTELEMETRY, folder, sys.executable, program) == ["['pool_metrics'] True"]


def test_a_program_of_elastic_is_recorded_outside_a_virtual_environment(folder: Path) -> None:
    find_launcher(*ELASTIC)
    (packages,) = {
        path for path in map(Path, sys.path) if (path / "elasticapm" / "__init__.py").exists()
    }
    first = packages / "elasticapm" / "instrumentation" / "wrapper"
    path = [first, folder, packages]
    output = run_well("-c", PROGRAM, path=path, python=BASE_PYTHON, measured=False, **QUIET)

    assert output.splitlines() == [RECORDED, str(first)]


def test_a_program_of_elastic_is_recorded_with_the_plugin_in_its_url(
    folder: Path, program: Path
) -> None:
    write(program, PROGRAM.replace("sqlite://", "sqlite://?plugin=pool_metrics"))
    *_, recorded, first = launch(ELASTIC, folder, sys.executable, program)

    assert recorded == RECORDED
    assert first != str(folder)


def test_a_program_of_elastic_is_recorded_with_the_folder_put_first_again(
    folder: Path, program: Path
) -> None:
    command = f'PYTHONPATH="{folder}:$PYTHONPATH" exec "{sys.executable}" "{program}"'
    *_, recorded, first = launch(ELASTIC, folder, "sh", "-c", command)

    assert (recorded, first) == (RECORDED, str(folder))

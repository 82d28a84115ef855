"""Applications that install in a minute, used for real; `on_demand.py` has the larger ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.applications.stage import PROGRAMS, set_up
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port


def test_optuna(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("optuna", ("optuna", "psycopg[binary]"), postgres, tmp_path) as stage:
        for trials in ("5\n", "10\n"):
            study = stage.run("python", PROGRAMS / "study.py", "5", STORAGE=stage.url())
            assert study == trials

        assert stage.stop() == {("study", "optuna")}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_celery(pool: str, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    requirements = ("celery", "sqlalchemy", "psycopg[binary]")
    with set_up("celery", requirements, postgres, tmp_path) as stage:
        program = ("python", PROGRAMS / "sums.py")
        tasks = stage.run(*program, "send", RESULTS=stage.url()).split()
        command = ("celery", "-A", "sums", "worker", "-P", pool, "-c", "4", "-l", "WARNING")
        stage.start(*command, RESULTS=stage.url())

        assert stage.run(*program, "add-up", *tasks, RESULTS=stage.url()) == "210\n"
        assert stage.stop() == {("sums", "celery")}


def test_mlflow(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("mlflow", ("mlflow", "psycopg[binary]"), postgres, tmp_path) as stage:
        url = f"http://127.0.0.1:{(port := find_free_port())}"
        environment = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Its processes open connections at any time, also when they are being ended.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "GIT_PYTHON_REFRESH": "quiet",
        }
        command = ("mlflow", "server", "--backend-store-uri", stage.url(), "--workers", "2")
        stage.start_server(f"{url}/health", *command, "--port", f"{port}", **environment)
        client = {"MLFLOW_TRACKING_URI": url, **environment}
        result = stage.run("python", PROGRAMS / "experiment.py", **client)

        assert result.endswith("\n1 19.0\n")
        assert stage.stop() == {("mlflow", "mlflow")}


def test_prefect(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("prefect", ("prefect",), postgres, tmp_path) as stage:
        port = find_free_port()
        environment = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        api = f"http://127.0.0.1:{port}/api"
        command = ("prefect", "server", "start", "--port", f"{port}")
        stage.start_server(f"{api}/health", *command, **environment)
        result = stage.run("python", PROGRAMS / "flow.py", PREFECT_API_URL=api, DO_NOT_TRACK="1")

        assert result == "55\n"
        assert stage.stop() == {("prefect server", f"{stage.folder}/.prefect/prefect.db")}

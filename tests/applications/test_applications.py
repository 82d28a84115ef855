"""Applications that install in seconds, used for real; `on_demand.py` has the larger ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.applications.stage import PROGRAMS, set_up
from tests.servers.embedded_postgres import EmbeddedPostgres


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

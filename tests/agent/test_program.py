"""The default name of an application, from its command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.program import find_program


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/uvicorn --port 80 mlflow.server:app", "mlflow"),
        ("/usr/bin/gunicorn -w 4 -b 0.0.0.0:8000 app:app", "app"),
        ("/usr/bin/gunicorn -k uvicorn.workers.UvicornWorker shop.main:create_app()", "shop"),
        ("/usr/bin/gunicorn -b unix:/run/shop.sock --workers 2 shop.wsgi", "shop"),
        ("/usr/bin/gunicorn -c python:settings shop.wsgi:application", "shop"),
        ("/usr/bin/gunicorn -c conf.py", "gunicorn"),
        ("/usr/bin/hypercorn billing.asgi:app --bind localhost:8000", "billing"),
        ("uwsgi --http :8000 --module shop.wsgi:app", "shop"),
        ("/usr/bin/celery -A shop.tasks worker -c 8", "shop"),
        ("/usr/bin/celery --app=shop:queue beat", "shop"),
        ("/usr/bin/celery -Ashop worker", "shop"),
        ("/usr/bin/celery worker", "celery"),
        ("/usr/bin/flask --app shop.web run", "shop"),
        ("/usr/bin/flask run", "flask"),
        ("/usr/bin/airflow scheduler", "airflow scheduler"),
        ("/usr/bin/airflow dag-processor -B x", "airflow dag-processor"),
        ("/usr/bin/twistd --no_save --python=buildbot.tac", "buildbot"),
        ("/usr/bin/twistd -n -y /srv/shop.tac", "shop"),
        ("/usr/bin/twistd -n web --port 8080", "web"),
        ("/srv/jobs/_job_runner.py 17", "_job_runner"),
        ("/usr/bin/superset run", "superset"),
        ("-c", "python"),
        ("", ""),
    ],
)
def test_an_application_is_named_after_what_runs_not_after_its_server(
    command: str, name: str
) -> None:
    assert find_program(command.split()) == name


@pytest.mark.parametrize("as_module", [True, False])
@pytest.mark.parametrize(
    ("run", "name"), [("dagster/_daemon", "dagster._daemon"), ("dagster/api.py", "dagster.api")]
)
def test_a_module_is_named_with_its_packages(
    tmp_path: Path, as_module: bool, run: str, name: str
) -> None:
    package = tmp_path / "dagster"
    (package / "_daemon").mkdir(parents=True)
    code = "from sqlalchemy_pool_metrics.program import find_program; print(find_program())"
    for path in ("__init__.py", "_daemon/__init__.py", "_daemon/__main__.py", "api.py"):
        (package / path).write_text("" if "init" in path else code)
    script = tmp_path / run
    target = ["-m", name] if as_module else [script / "__main__.py" if script.is_dir() else script]
    answer = subprocess.run(
        [sys.executable, *target], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == name

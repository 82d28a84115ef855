"""Applications that take minutes to install; `make applications` runs these, too."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx

from tests.applications.stage import PROGRAMS, SECONDS, set_up
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port


def test_dagster(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("dagster", ("dagster", "dagster-webserver"), postgres, tmp_path) as stage:
        (stage.folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        home = {"DAGSTER_HOME": str(stage.folder)}
        job = ("job", "execute", "-f", PROGRAMS / "jobs.py", "-j", "double_twice")
        stage.run("dagster", *job, **home)
        url = f"http://127.0.0.1:{(port := find_free_port())}"
        server = ("dagster-webserver", "-p", f"{port}", "-f", PROGRAMS / "jobs.py")
        stage.start_server(f"{url}/server_info", *server, **home)
        query = {"query": "{ runsOrError { ... on Runs { results { status } } } }"}
        answer = httpx.post(f"{url}/graphql", json=query, timeout=SECONDS).json()

        assert answer["data"]["runsOrError"]["results"] == [{"status": "SUCCESS"}]
        applications = {application for application, _ in stage.stop()}
        assert applications == {"dagster api", "dagster job", "dagster-webserver"}


def test_airflow(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    requirements = ("apache-airflow", "asyncpg", "psycopg2-binary")
    with set_up("airflow", requirements, postgres, tmp_path) as stage:
        url = f"http://127.0.0.1:{(port := find_free_port())}"
        home = {
            "AIRFLOW_HOME": str(stage.folder),
            "AIRFLOW__API__PORT": f"{port}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROGRAMS / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": stage.url("psycopg2"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        health = f"{url}/api/v2/monitor/health"
        program = stage.start_server(health, "airflow", "standalone", **home)
        token = httpx.get(f"{url}/auth/token", timeout=SECONDS).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        double = f"{url}/api/v2/dags/double"
        with httpx.Client(headers=headers, timeout=SECONDS) as client:
            wait_until(lambda: client.get(double).is_success, "the DAG", SECONDS)
            client.patch(double, json={"is_paused": False}).raise_for_status()
            run = {"logical_date": None}
            client.post(f"{double}/dagRuns", json=run).raise_for_status()

            def list_states() -> list[str]:
                runs = client.get(f"{double}/dagRuns").json()["dag_runs"]
                return [each["state"] for each in runs]

            wait_until(lambda: "success" in list_states(), "the run", SECONDS)
        os.kill(program.pid, signal.SIGINT)  # after SIGTERM its components would run on
        wait_until(lambda: not stage.exporter.read().processes, "the components to end", SECONDS)

        components = ("api-server", "dag-processor", "scheduler", "standalone", "triggerer")
        assert stage.stop() == {(f"airflow {each}", "airflow") for each in components}


def test_superset(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up(
        "superset", ("apache-superset", "flask-caching<2.4", "rich"), postgres, tmp_path
    ) as stage:
        settings = {"SUPERSET_SECRET_KEY": "a key of the test", "FLASK_APP": "superset"}
        stage.run("superset", "db", "upgrade", **settings)

        assert stage.exporter.list_pools() == set()  # its SQLAlchemy 1.4 is too old


def test_jupyterhub(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("jupyterhub", ("jupyterhub", "psycopg[binary]"), postgres, tmp_path) as stage:
        api = f"http://127.0.0.1:{(port := find_free_port())}/hub/api"
        environment = {"HUB_URL": stage.url(), "HUB_PORT": f"{port}"}
        command = ("jupyterhub", "-f", PROGRAMS / "jupyterhub_config.py")
        stage.start_server(f"{api}/health", *command, **environment)
        headers = {"Authorization": "token token-of-the-test"}
        with httpx.Client(headers=headers, timeout=SECONDS) as client:
            for name in ("one", "two", "three"):
                client.post(f"{api}/users/{name}").raise_for_status()
            users = client.get(f"{api}/users").raise_for_status().json()

        assert {each["name"] for each in users} == {"one", "two", "three"}
        # Alembic's env.py creates the second engine.
        assert stage.stop() == {("jupyterhub", "jupyterhub"), ("jupyterhub", "jupyterhub env_py")}


def test_buildbot(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with set_up("buildbot", ("buildbot[bundle]", "psycopg[binary]"), postgres, tmp_path) as stage:
        url = f"http://127.0.0.1:{(port := find_free_port())}/api/v2"
        environment = {"BUILDS_URL": stage.url(), "WEB_PORT": f"{port}"}
        stage.run("buildbot", "create-master", "-c", PROGRAMS / "master.cfg", "-r", "master")
        stage.run("buildbot", "upgrade-master", "master", **environment)
        stage.start_server(url, "buildbot", "start", "--nodaemon", "master", **environment)

        def has_built() -> bool:
            builds = httpx.get(f"{url}/builds?complete=true", timeout=SECONDS).json()["builds"]
            assert all(each["results"] == 0 for each in builds)
            return len(builds) >= 3

        wait_until(has_built, "three builds", SECONDS)
        state = f"{stage.folder}/master/state.sqlite"  # made by create-master
        assert stage.stop() == {("buildbot", "buildbot"), ("buildbot", state)}

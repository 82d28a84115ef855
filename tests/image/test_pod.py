"""A pod as the example's chart renders it, with an unchanged application."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest
import yaml

from tests.deploy.charts import Manifest, copy_shop, pick, render
from tests.image.kubelet import TOKEN, prepare_pod
from tests.image.podman import PATIENCE, Container, podman, run_once
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port
from tests.servers.folders import make_folder
from tests.servers.programs import find_program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("image")
WORKERS = 4
LABELS = '{application="shop",database="primary",origin="app",pool="shop"}'


class Pod(NamedTuple):
    """A running pod: its exporter, the address and the container of its application."""

    exporter: Container
    app: str
    address: str
    server: EmbeddedPostgres

    def sell(self, times: int) -> None:
        """Send so many requests at once; all are answered."""
        with ThreadPoolExecutor(times) as threads:
            answers = threads.map(lambda _: httpx.get(self.address, timeout=PATIENCE), range(times))
            assert [answer.text for answer in answers] == ["sold\n"] * times


@pytest.fixture(scope="module")
def app_image() -> str:
    """An image without our package, on the same base."""
    found = re.search(r"^ARG DEBIAN_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    name = "localhost/pool-exporter-test-shop:1.0.0"
    options = ["--isolation=chroot", "--network=host", "--pull=missing", "--layers"]
    folder = Path(__file__).with_name("app")
    podman("build", *options, f"--build-arg=BASE={found[1]}", f"--tag={name}", str(folder))
    return name


@pytest.fixture(scope="module")
def pod(image: str, app_image: str, postgres: EmbeddedPostgres) -> Iterator[Pod]:
    with make_folder("pod") as folder:
        port, app_port = find_free_port(), find_free_port()
        manifest = build_manifest(image, app_image, port, postgres, folder)
        (app,) = [each for each in manifest["spec"]["containers"] if each["name"] == "shop"]
        app["command"] = [part.replace(":8000", f"127.0.0.1:{app_port}") for part in app["command"]]
        with play(manifest, folder):
            name = manifest["metadata"]["name"]
            container = Container(f"{name}-pool-exporter", port)
            container.wait_until_serving()
            yield Pod(container, f"{name}-shop", f"http://127.0.0.1:{app_port}/", postgres)


def build_manifest(
    image: str, app_image: str, port: int, server: EmbeddedPostgres, folder: Path
) -> Manifest:
    """Return the pod of the example's Deployment for a cluster without native sidecars."""
    repository, _, tag = image.rpartition(":")
    ours = {
        "image": {"registry": "", "repository": repository, "tag": tag},
        "port": port,
        "sidecar": {"native": False},
    }
    charts = folder / "charts"
    rendered = render(copy_shop(charts), {"image": app_image, "poolexporter": ours})
    config = pick(rendered, "ConfigMap")
    url = server.url(DATABASE, *PLAIN, driver="psycopg")
    objects = {
        ("ConfigMap", config["metadata"]["name"]): config["data"],
        ("Secret", "shop-database"): {"DATABASE_URL": url},
    }
    name = f"pool-exporter-test-{uuid.uuid4().hex[:8]}"
    return prepare_pod(pick(rendered, "Deployment")["spec"]["template"], name, folder, objects)


@contextmanager
def play(manifest: Manifest, folder: Path) -> Iterator[None]:
    """Run the pod during the block."""
    # What keeps a pod of podman alive.
    find_program("catatonit", "catatonit")
    file = folder / "pod.yaml"
    file.write_text(yaml.safe_dump(manifest))
    try:
        podman("play", "kube", str(file))
        yield
    finally:
        podman("pod", "rm", "--force", "--time=2", manifest["metadata"]["name"], check=False)


def test_the_image_of_the_application_has_nothing_of_ours(app_image: str) -> None:
    completed = run_once(
        app_image, "python3", "-c", "import sqlalchemy, sqlalchemy_pool_metrics", check=False
    )
    assert "No module named 'sqlalchemy_pool_metrics'" in completed.stderr


def test_the_pools_of_all_workers_are_shown(pod: Pod) -> None:
    with psycopg.connect(pod.server.url(DATABASE)) as connection, ThreadPoolExecutor(1) as thread:
        connection.execute("SELECT pg_advisory_lock(1)")
        # A worker has room for one request: as long as all are held, each has one.
        held = thread.submit(pod.sell, WORKERS)
        try:
            pod.exporter.wait_for_metric(f"sqlalchemy_pool_checked_out{LABELS} {WORKERS}.0")
            pod.exporter.wait_for_metric(f"sqlalchemy_pool_processes{LABELS} {WORKERS}.0")
        finally:
            connection.execute("SELECT pg_advisory_unlock(1)")
        held.result()
    pod.exporter.wait_for_metric(f"sqlalchemy_pool_checked_out{LABELS} 0.0")


def test_each_checkout_is_counted(pod: Pod) -> None:
    name = f"sqlalchemy_pool_checkouts_total{LABELS}"
    pod.sell(1)
    before = read_value(pod, name)
    for _ in range(10):
        pod.sell(2)
    assert read_value(pod, name) == before + 20


def test_counters_survive_a_killed_exporter(pod: Pod) -> None:
    name = f"sqlalchemy_pool_checkouts_total{LABELS}"
    pod.sell(1)
    before = read_value(pod, name)
    podman("kill", "--signal=KILL", pod.exporter.name)
    podman("wait", pod.exporter.name)
    pod.sell(3)
    podman("start", pod.exporter.name)
    pod.exporter.wait_until_answering()
    assert read_value(pod, name) == before + 3


def run_python(container: str, program: str) -> str:
    completed = podman("exec", container, "python3", "-c", program, check=False)
    return completed.stdout + completed.stderr


def test_the_application_cannot_write_what_its_processes_import(pod: Pod) -> None:
    program = """
import os, sqlalchemy_pool_metrics
folder = os.path.dirname(os.path.dirname(sqlalchemy_pool_metrics.__file__))
print(folder)
for act in (
    lambda: open(folder + "/sitecustomize.py", "a"),
    lambda: open(folder + "/json.py", "w"),
    lambda: os.rename(folder, folder + "-moved"),
    lambda: os.open(os.environ["SQLALCHEMY_POOL_METRICS_DIR"] + "/own", os.O_CREAT),
):
    try:
        act()
        print("written")
    except OSError as error:
        print(error.strerror)
"""
    folder, *answers = run_python(pod.app, program).splitlines()
    assert folder == "/run/sqlalchemy-pool-metrics-agent"
    assert answers[-1] == "written"
    assert "written" not in answers[:-1]


def test_the_exporter_gets_no_token_and_the_application_keeps_its_own(pod: Pod) -> None:
    program = f"import os; print(os.listdir({TOKEN!r}))"
    assert run_python(pod.exporter.name, program) == "[]\n"
    assert run_python(pod.app, program) == "['token']\n"


def read_value(pod: Pod, name: str) -> float:
    lines = pod.exporter.get("/metrics").text.splitlines()
    (value,) = [line.removeprefix(name) for line in lines if line.startswith(name)]
    return float(value)


def test_the_exporter_probes_the_database_with_the_secret_of_the_application(pod: Pod) -> None:
    pod.exporter.wait_for_metric('sqlalchemy_database_up{database="primary"} 1.0')

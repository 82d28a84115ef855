"""Names that users' dashboards, configurations and scripts rely on stay as a file records them.

`WRITE_GOLDEN=1 make test ARGS=tests/exporter/test_contract.py` records an intended change.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.app_workers import run_worker
from tests.exporter.commands import configure, run_command, run_exporter
from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres

CONTRACT = Path(__file__).parents[1] / "data" / "contract"
SCHEMA = Path(__file__).parents[2] / "config" / "schema.json"
# Those of the process and of Python are prometheus_client's and differ between systems.
OURS = "sqlalchemy_"


def check_contract(name: str, found: str) -> None:
    file = CONTRACT / name
    if os.environ.get("WRITE_GOLDEN"):
        CONTRACT.mkdir(exist_ok=True)
        file.write_text(found)
    assert found == file.read_text()


def describe_families(text: str) -> Iterator[str]:
    """A line for each family: its name, type, and the names of its samples' labels."""
    for family in text_string_to_metric_families(text):
        if family.name.startswith(OURS):
            labels = sorted({",".join(sample.labels) for sample in family.samples})
            yield f"{family.name} {family.type} {' | '.join(labels)}"


def describe_keys(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A line for each key: its path and what it may be."""
    for key, value in schema.get("properties", {}).items():
        yield f"{path}{key}: {describe_type(value)}"
        yield from describe_keys(value, f"{path}{key}.")
    items = schema.get("additionalProperties")
    if isinstance(items, dict) and items.get("properties"):
        yield from describe_keys(items, f"{path}<name>.")


def describe_type(schema: Mapping[str, Any]) -> str:
    kept = {key: schema[key] for key in ("type", "enum", "default") if key in schema}
    return json.dumps(kept | ({"any": len(schema["anyOf"])} if "anyOf" in schema else {}))


def inline(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, dict):
        if name := schema.get("$ref"):
            return inline(definitions[name.rpartition("/")[2]], definitions)
        return {key: inline(value, definitions) for key, value in schema.items()}
    return [inline(each, definitions) for each in schema] if isinstance(schema, list) else schema


def test_families_and_labels_stay(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    folder = tmp_path / "pools"
    folder.mkdir()
    url = postgres.url(DATABASE, *MONITOR, driver="asyncpg")
    settings = configure("main", URL=url, LABELS='{"team":"shop"}')
    settings["APP__DIR"] = str(folder)
    with (
        run_worker(folder) as worker,
        run_exporter(tmp_path / "log", settings=settings) as exporter,
        exporter.open_client() as client,
    ):
        worker.do("checkout", "return")
        wait_until(lambda: "writable{" in client.get("/metrics").text, "an answer of the database")
        found = "\n".join(sorted(describe_families(client.get("/metrics").text))) + "\n"
    check_contract("families.txt", found)


def test_settings_stay() -> None:
    schema = json.loads(SCHEMA.read_text())
    keys = describe_keys(inline(schema, schema.get("$defs", {})))
    check_contract("settings.txt", "\n".join(keys) + "\n")


@pytest.mark.parametrize("command", ["", "serve", "check-config", "demo"])
def test_options_stay(command: str) -> None:
    text = run_command(*command.split(), "--help").stdout
    options = sorted(set(re.findall(r"(?<![\w-])--?[a-z][\w.-]*(?: [A-Z]+)?", text)))
    check_contract(f"options-{command or 'none'}.txt", "\n".join(options) + "\n")


def test_exit_statuses_stay(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("databases: {main: {url: 'sqlite://'}}\n")
    bad.write_text("databases: {main: {url: 'nonsense'}}\n")
    statuses = {
        "check-config good": run_command("check-config", str(good)).returncode,
        "check-config bad": run_command("check-config", str(bad)).returncode,
        "serve bad": run_command("--config", str(bad)).returncode,
        "no such option": run_command("--nonsense").returncode,
        "version": run_command("--version").returncode,
    }
    assert statuses == {
        "check-config good": 0,
        "check-config bad": 1,
        "serve bad": 1,
        "no such option": 2,
        "version": 0,
    }

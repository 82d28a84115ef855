from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from sqlalchemy_pool_exporter.settings import DatabaseSettings, Settings, load_settings
from sqlalchemy_pool_exporter.settings.messages import list_keys, list_sections
from sqlalchemy_pool_exporter.settings.schema import render_schema

CONFIG = Path(__file__).parents[2] / "config"
SCHEMA = json.loads((CONFIG / "schema.json").read_text())


def read_example() -> Any:
    return yaml.safe_load((CONFIG / "example.yaml").read_text())


def list_paths(section: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    """Every existing key, dotted: `databases.*.pool.size`."""
    sections = list_sections(section)
    for key in list_keys(section):
        yield f"{above}{key}"
        if key in sections:
            names = "*." if key == "databases" else ""
            yield from list_paths(sections[key], f"{above}{key}.{names}")


def find_paths(tree: object, above: str = "") -> set[str]:
    """Dotted paths of all keys, `databases.*` standing for each database."""
    paths: set[str] = set()
    for key, value in tree.items() if isinstance(tree, dict) else ():
        path = f"{above}.{'*' if above == 'databases' else key}".lstrip(".")
        paths |= {path} | find_paths(value, path)
    return paths


@pytest.mark.parametrize("name", ["exporter.yaml", "example.yaml"])
def test_a_published_file_is_valid(name: str) -> None:
    assert load_settings(CONFIG / name, {}).databases
    jsonschema.validate(yaml.safe_load((CONFIG / name).read_text()), SCHEMA)


def test_the_example_shows_every_key() -> None:
    assert set(list_paths()) - find_paths(read_example()) == set()


def test_the_example_explains_every_key() -> None:
    lines = (CONFIG / "example.yaml").read_text().splitlines()
    keys = {path.rpartition(".")[2] for path in list_paths()} - {"*"}
    explained = {
        match[1]
        for above, line in pairwise(lines)
        if (match := re.match(r"\s*([a-z_]+):", line)) and above.strip().startswith("#")
    }
    assert keys - explained == {"log", "metrics", "web"}, "sections whose name says it"


def test_the_example_states_the_defaults() -> None:
    """A value without a comment about the default is the default."""
    text = re.sub(r"(?m)^.*# default:.*$", "", (CONFIG / "example.yaml").read_text())
    example = yaml.safe_load(text)
    minimal = Settings.model_validate({"databases": {"primary": {"url": "sqlite://"}}})
    stated = Settings.model_validate(
        {
            **{key: value for key, value in example.items() if key != "databases"},
            "databases": {
                "primary": {
                    **{
                        key: value
                        for key, value in example["databases"]["primary"].items()
                        if key not in ("url", "password_file", "connect_args", "probe", "labels")
                    },
                    "url": "sqlite://",
                }
            },
        }
    )
    assert stated == minimal


def test_the_schema_is_up_to_date() -> None:
    assert (CONFIG / "schema.json").read_text() == render_schema(), (
        "python -m sqlalchemy_pool_exporter.settings > config/schema.json"
    )


def test_the_module_prints_the_schema() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "sqlalchemy_pool_exporter.settings"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert printed.stdout == render_schema()


@pytest.mark.parametrize(
    "change",
    [
        {"listne": ":9723"},
        {"log": {"level": "loud"}},
        {"probe": {"interval": "often"}},
        {"databases": {"a b": {"url": "sqlite://"}}},
        {"databases": {"a": {"url": "sqlite://", "pool": {"class": "QueuePool"}}}},
        {"databases": {"a": {"url": "sqlite://", "labels": {"origin": "x"}}}},
        {"databases": {"a": {"url": "sqlite://", "labels": {"__x": "x"}}}},
        {"databases": {"a": {"url": "sqlite://", "pool": {"pool_class": "queue"}}}},
    ],
)
def test_the_schema_refuses_what_the_exporter_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**read_example(), **change}, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"pool": {"class": None}},
        {"pool": {"recycle": -1, "reset_on_return": None, "timeout": 0}},
        {"statement_timeout": "1h30m"},
        {"probe": {"interval": 5, "timeout": 2.5}},
    ],
)
def test_the_schema_allows_what_the_exporter_allows(change: dict[str, Any]) -> None:
    database = {"url": "sqlite://", **change}
    jsonschema.validate({"databases": {"a": database}}, SCHEMA)
    assert DatabaseSettings.model_validate(database)

"""The chart passes the exporter's configuration on unchanged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlalchemy_pool_exporter.check import check_config
from tests.deploy.charts import (
    SCENARIOS,
    Rendered,
    Values,
    helm,
    read_manifests,
    read_values,
    render_alone,
    render_shop,
)

URL = "postgresql://monitor:secret@db.example:5432/shop"
ODDITIES = {
    "integer": 1_000_000,
    "large": 2**53,
    "negative": -1,
    "fraction": 0.25,
    "true": True,
    "null": None,
    "text": 'it\'s "x" \\ ${HOME} $(HOME) {{ .Values.port }} # no comment: %s',
    "number in text": "1e3",
    "octal in text": "017",
    "minutes in text": "12:30:00",
    "date in text": "2024-01-01",
    "yes in text": "yes",
    "null in text": "null",
    "nothing": "",
    "lines": " first\n\n  second\n",
    "long": "word " * 60,
    "list": [1, [2, None], {"a": []}],
    "umlaut": "\u00fc\U0001f40d",
}


def read_config(rendered: Rendered) -> str:
    (text,) = [
        each["data"]["exporter.yaml"]
        for each in read_manifests(rendered)
        if "exporter.yaml" in each.get("data", {})
    ]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("render", [render_alone, render_shop])
def test_the_config_map_has_every_value_unchanged(render: Any) -> None:
    config = {
        "databases": {
            "odd": {
                "url": "postgresql://db/shop",
                "connect_args": ODDITIES,
                "pool": {"size": 100_000, "recycle": None, "reset_on_return": None},
            }
        }
    }
    assert yaml.safe_load(read_config(render({"config": config}))) == config


def test_a_configuration_in_a_values_file_is_unchanged() -> None:
    text = "config: {databases: {a: {pool: {size: 100000, recycle: null}, probe: {interval: 1.5}}}}"
    values = helm.values_from_yaml(text)
    assert yaml.safe_load(read_config(render_alone(values))) == yaml.safe_load(text)["config"]


def find_variables(values: Values) -> Iterator[str]:
    """Return the exporter's settings from Secrets and its environment."""
    yield from values.get("secrets", {})
    yield from (each["name"] for each in values.get("extraEnv", []))
    for secret in values.get("existingSecrets", []):
        yield from (item["path"] for item in secret.get("items", []))


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled"}))
def test_the_exporter_accepts_the_configuration_of_the_scenario(
    scenario: str, tmp_path: Path
) -> None:
    values = read_values(scenario)
    file = tmp_path / "exporter.yaml"
    file.write_text(read_config(render_shop(values)))
    environ = dict.fromkeys(find_variables(values), URL)
    # As the container has it, so that a configuration without databases has a purpose.
    environ["POOL_EXPORTER_APP__DIR"] = "/run/sqlalchemy-pool-metrics"
    said = io.StringIO()
    assert check_config(file, environ, said, syntax_only=True) == 0, said.getvalue()


@pytest.mark.parametrize(
    "database",
    [
        {"url": URL},
        {"url": "postgresql://monitor@db/shop?sslmode=require&password=secret"},
        {"url": "postgresql://monitor:se/c:ret@db/shop"},
        {"url": "mysql://monitor@db/shop", "connect_args": {"passwd": "secret"}},
        {"connect_args": {"server_settings": {"x": 1}, "ssl": {"key_passphrase": "secret"}}},
        {"url": "postgresql://monitor@db/shop", "connect_args": {"password": "secret"}},
    ],
)
def test_a_password_is_kept_out_of_the_config_map(database: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmRenderError) as refused:
        render_alone({"config": {"databases": {"pri-mary": database}}})
    assert "config.databases.pri-mary contains a password" in str(refused.value)
    assert "secrets.POOL_EXPORTER_DATABASES__PRI_MARY__URL" in str(refused.value)
    assert "secret@" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://monitor@db:5432/shop?options=-c%20search_path=a@b",
        "postgresql://monitor:@db/shop",
        "postgresql://[::1]:5432/shop?application_name=a:b@c",
        "sqlite:////data/a:b@c.db",
        None,
    ],
)
def test_a_url_without_a_password_is_accepted(url: str | None) -> None:
    config = {"databases": {"primary": {"url": url}}}
    assert yaml.safe_load(read_config(render_alone({"config": config}))) == config

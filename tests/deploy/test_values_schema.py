"""The schema refuses mistakes in the values, and accepts all documented keys and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import pytest
import yaml
from yaml.nodes import MappingNode, ScalarNode

from deploy.schema import OF_THE_CHART, SCHEMA, render_values_schema
from tests.deploy.charts import CHART, ROOT, SCENARIOS, helm, read_values, render_alone

KeyPath = tuple[str, ...]

TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)
PROPERTIES = json.loads(SCHEMA.read_text())["properties"]
# Objects of Kubernetes, which checks them itself, and maps whose keys are free.
OPEN = {
    ("affinity",),
    ("alertLabels",),
    ("annotations",),
    ("commonLabels",),
    ("endpoint",),
    ("injectResources",),
    ("labels",),
    ("livenessProbe",),
    ("nodeSelector",),
    ("podAnnotations",),
    ("podLabels",),
    ("podSecurityContext",),
    ("readinessProbe",),
    ("resources",),
    ("securityContext",),
    ("selector",),
}


def is_open(path: KeyPath) -> bool:
    return any((key,) in OPEN for key in path)


def find_objects(values: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the paths of all objects in the schema."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict):
            yield from find_objects(value, (*path, key))


def nest(path: KeyPath, value: object) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def refuse(values: Mapping[str, Any]) -> str:
    """Return Helm's error for invalid values."""
    with pytest.raises(helm.HelmValuesError) as refused:
        render_alone(values)
    return str(refused.value)


EXAMPLE = yaml.safe_load((ROOT / "config" / "example.yaml").read_text())
CONFIG = {key: value for key, value in EXAMPLE.items() if key not in OF_THE_CHART["config"]}
CONFIG["app"] = {
    key: value for key, value in EXAMPLE["app"].items() if key not in OF_THE_CHART["AppSettings"]
}
CLOSED = [path for path in find_objects(VALUES) if not is_open(path)]
OF_THE_EXPORTER = [("config", *path) for path in find_objects(CONFIG) if "connect_args" not in path]
# The names of databases and labels are free.
NAMED = [("config", "databases"), ("config", "databases", "primary", "labels")]


@pytest.mark.parametrize(
    "path",
    [each for each in [*CLOSED, *OF_THE_EXPORTER] if each not in [*NAMED, ("secrets",)]],
    ids=".".join,
)
def test_an_unknown_key_is_refused(path: KeyPath) -> None:
    said = refuse(nest((*path, "mistake"), "x"))
    assert "'mistake'" in said
    assert "/".join(path) in said


@pytest.mark.parametrize(
    "values",
    [
        {"existingSecrets": [{"name": "shop", "mistake": 1}]},
        {"existingSecrets": [{"name": "shop", "items": [{"key": "a", "path": "b", "mistake": 1}]}]},
    ],
)
def test_an_unknown_key_in_a_list_is_refused(values: dict[str, Any]) -> None:
    assert "'mistake'" in refuse(values)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"enabled": "yes"}, "/enabled"),
        ({"port": "9723"}, "/port"),
        ({"port": 0}, "/port"),
        ({"port": 65536}, "/port"),
        ({"image": "shop:1"}, "/image"),
        ({"image": {"tag": 1.0}}, "/image/tag"),
        ({"image": {"digest": "0123"}}, "/image/digest"),
        ({"image": {"registry": "registry.example.com/"}}, "/image/registry"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"sidecar": {"native": "no"}}, "/sidecar/native"),
        ({"volume": {"mountPath": "pools"}}, "/volume/mountPath"),
        ({"volume": {"sizeLimit": "16 MB"}}, "/volume/sizeLimit"),
        ({"existingSecrets": ["shop"]}, "/existingSecrets/0"),
        ({"existingSecrets": [{}]}, "/existingSecrets/0"),
        (
            {
                "existingSecrets": [
                    {
                        "name": "shop",
                        "items": [{"key": "a", "path": "POOL_EXPORTER_DATABASES_A_URL"}],
                    }
                ]
            },
            "/existingSecrets/0/items/0/path",
        ),
        ({"secrets": {"DATABASE_URL": "x"}}, "DATABASE_URL"),
        ({"extraArgs": "--web.enable-lifecycle"}, "/extraArgs"),
        ({"extraEnv": {"A": "b"}}, "/extraEnv"),
        ({"extraEnv": [{"name": "PGPORT", "value": 5432}]}, "/extraEnv/0/value"),
        ({"extraEnv": [{"name": "PGSSLMODE", "value": False}]}, "/extraEnv/0/value"),
        ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0"),
        ({"extraVolumes": [{"name": 1, "emptyDir": {}}]}, "/extraVolumes/0/name"),
        ({"extraVolumeMounts": [{"name": "ca"}]}, "/extraVolumeMounts/0"),
        ({"securityContext": {"runAsUser": "10001"}}, "/securityContext/runAsUser"),
        ({"standalone": {"imagePullSecrets": [{}]}}, "/standalone/imagePullSecrets/0"),
        ({"standalone": {"tolerations": [{"value": 1}]}}, "/standalone/tolerations/0/value"),
        ({"selector": {"app": 1}}, "/selector/app"),
        ({"standalone": True}, "/standalone"),
        ({"standalone": {"replicas": -1}}, "/standalone/replicas"),
        ({"podMonitor": {"interval": "30"}}, "/podMonitor/interval"),
        ({"networkPolicy": {"from": {}}}, "/networkPolicy/from"),
        (
            {"prometheusRule": {"disabledAlerts": ["SQLAlchemyConnectionLeek"]}},
            "/prometheusRule/disabledAlerts/0",
        ),
        ({"prometheusRule": {"severities": {"page": ""}}}, "/prometheusRule/severities/page"),
        ({"prometheusRule": {"severities": {"ticket": 'a"'}}}, "/prometheusRule/severities/ticket"),
        ({"config": {"databases": []}}, "/config/databases"),
        ({"config": {"databases": {"a b": {}}}}, "a b"),
        ({"config": {"databases": {"a": {"role": "master"}}}}, "/config/databases/a/role"),
        (
            {"config": {"databases": {"a": {"pool": {"size": "2"}}}}},
            "/config/databases/a/pool/size",
        ),
        ({"config": {"probe": {"interval": "soon"}}}, "/config/probe/interval"),
        ({"config": {"listen": ":9723"}}, "/config"),
        ({"config": {"app": {"dir": "/pools"}}}, "/config/app"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, Any], place: str) -> None:
    assert f"'{place}'" in refuse(values)


def test_a_severity_among_the_labels_is_refused_with_the_right_key() -> None:
    said = refuse({"prometheusRule": {"alertLabels": {"severity": "critical"}}})
    assert "'/prometheusRule/alertLabels/severity'" in said
    assert "'set by prometheusRule.severities'" in said


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_valid(scenario: str) -> None:
    assert render_alone(read_values(scenario))


def test_values_yaml_is_valid() -> None:
    assert render_alone(VALUES)


def test_every_setting_of_the_exporter_is_valid() -> None:
    assert render_alone({"config": CONFIG})


def test_keys_for_anchors_are_valid() -> None:
    assert render_alone({"config": {**CONFIG, "x-pool": {"size": 2}}})


def test_global_values_are_valid() -> None:
    assert render_alone({"global": {"imageRegistry": "registry.example.com"}})


def find_keys(schema: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in schema.items():
        yield (*path, key)
        yield from find_keys(value.get("properties", {}), (*path, key))


def test_the_schema_has_the_keys_of_values_yaml_and_no_others() -> None:
    written = {(*path, key) for path in CLOSED for key in _get(VALUES, path)}
    known = {path for path in find_keys(PROPERTIES) if not is_open(path[:-1])}
    assert known - {("global",)} == written


def _get(values: Any, path: KeyPath) -> Any:
    for key in path:
        values = values[key]
    return values


def test_the_schema_has_the_current_settings_and_alerts() -> None:
    assert SCHEMA.read_text() == render_values_schema(SCHEMA.read_text()), "run make generated"


def find_lines(node: MappingNode, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    """Return the keys without keys below them, with their line numbers."""
    for key, value in node.value:
        assert isinstance(key, ScalarNode)
        below = (*path, key.value)
        if isinstance(value, MappingNode) and value.value:
            yield from find_lines(value, below)
        else:
            yield below, key.start_mark.line


def is_explained(lines: Sequence[str], number: int) -> bool:
    """Return whether a comment above it in its block, or above its object, explains the key."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    above = takewhile(str.strip, reversed(lines[:number]))
    return any(re.match(rf" {{0,{depth}}}# ", line) for line in above)


def test_every_key_is_explained() -> None:
    lines = TEXT.splitlines()
    values = yaml.compose(TEXT)
    assert isinstance(values, MappingNode)
    keys = find_lines(values)
    assert [path for path, number in keys if not is_explained(lines, number)] == []

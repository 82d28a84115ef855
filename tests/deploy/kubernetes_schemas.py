"""Check manifests against the schemas of several versions of Kubernetes.

Like `kubernetes-validate --strict`, but each version's schemas are read once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

VERSIONS: Final = ("1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35")


def find_faults(manifest: dict[str, Any], version: str) -> Iterator[str]:
    """Return the faults of a manifest, including unknown keys."""
    group, _, release = manifest["apiVersion"].rpartition("/")
    kind = [manifest["kind"].lower(), *filter(None, [group.partition(".")[0]]), release]
    for error in _build_validator("-".join(kind), version).iter_errors(manifest):
        yield f"{error.json_path}: {error.message}"


def _read(version: str, name: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    return json.loads((folder / f"{name}.json").read_text())


@cache
def _build_registry(version: str) -> Registry[Any]:
    definitions: Resource[Any] = Resource.from_contents(_read(version, "_definitions"))
    return definitions @ Registry()


@cache
def _build_validator(kind: str, version: str) -> Draft202012Validator:
    return Draft202012Validator(_read(version, kind), registry=_build_registry(version))

"""Reads the configuration: file, then secrets directory, then environment; the later ones win."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from exporter.settings.document import Document, KeyPath, read_document
from exporter.settings.environment import read_environment
from exporter.settings.explanation import explain
from exporter.settings.settings import Settings

# Saying one of them elsewhere takes the other back.
ALTERNATIVES: Final = {"url": "url_file", "url_file": "url"}


def load_settings(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a YAML file, if one is given, and of the environment.

    Raises SettingsErrors with every mistake that can be found at once, without secrets, and without
    an exception in its context that holds any.
    """
    file = read_document(config) if config else Document()
    environment = read_environment(environ)
    environment = _match_databases(environment, file.data.get("databases"))
    data = _merge(file.data, environment.data)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        errors = explain(error, {**file.origins, **environment.origins})
    raise errors


def _match_databases(environment: Document, databases: Any) -> Document:
    """Gives databases in variables, which know no case and no hyphen, their names in the file."""
    own = environment.data.get("databases")
    if not isinstance(databases, Mapping) or not isinstance(own, Mapping):
        return environment
    names = {_fold(str(name)): str(name) for name in databases}
    renamed = {str(name): names.get(_fold(str(name)), str(name)) for name in own}
    data = {**environment.data, "databases": {renamed[str(name)]: own[name] for name in own}}
    origins = {_rename(path, renamed): origin for path, origin in environment.origins.items()}
    return Document(data, origins)


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def _rename(path: KeyPath, names: Mapping[str, str]) -> KeyPath:
    if len(path) < 2 or path[0] != "databases":
        return path
    return (path[0], names.get(path[1], path[1]), *path[2:])


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in lower.items() if ALTERNATIVES.get(key) not in upper}
    for key, value in upper.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged

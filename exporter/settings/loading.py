"""Reads the configuration: file, then secrets directory, then environment; the later ones win."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from exporter.settings.databases import DatabaseSettings
from exporter.settings.document import Document, read_document
from exporter.settings.environment import find_variables, read_secrets_dir
from exporter.settings.errors import SettingsError, SettingsErrors
from exporter.settings.explanation import explain
from exporter.settings.settings import Settings
from exporter.settings.sources import DocumentSource, MergedSource, VariableSource

# What is wrong with databases, by name, beyond what the settings themselves tell.
FindErrors: TypeAlias = Callable[[Mapping[str, DatabaseSettings]], Sequence[SettingsError]]


def find_no_errors(_databases: Mapping[str, DatabaseSettings]) -> Sequence[SettingsError]:
    """For those who ask no more of a database than that its settings make sense."""
    return ()


def load_settings(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    find_errors: FindErrors = find_no_errors,
) -> Settings:
    """The settings of a YAML file, if one is given, and of the environment.

    `find_errors` is asked about the databases also when something else is wrong.
    Raises SettingsErrors with every mistake that can be found at once, without secrets, and without
    an exception in its context that holds any.
    """
    # With PYDANTIC_SETTINGS_DEBUG set it would log every value.
    logging.getLogger("pydantic_settings").setLevel(logging.INFO)
    file = DocumentSource(Settings, read_document(config) if config else Document())
    databases = file.list_databases()
    secrets = VariableSource(Settings, read_secrets_dir(environ), databases)
    environment = VariableSource(Settings, find_variables(environ), databases)
    merged = MergedSource(Settings)
    errors: Sequence[SettingsError] = ()
    settings = None
    try:
        settings = Settings(environment, secrets, file, merged)
    except ValidationError as error:
        origins = {**file.origins, **secrets.origins, **environment.origins}
        errors = explain(error, origins).errors
    found = find_errors(settings.databases if settings else salvage_databases(merged.data))
    if settings is None or found:
        raise SettingsErrors([*errors, *found])
    return settings


def salvage_databases(data: Mapping[str, Any]) -> dict[str, DatabaseSettings]:
    """The databases of settings that are wrong somewhere, each with those of its keys that are not.

    Left out is one that has no URL without its wrong keys.
    """
    databases = data.get("databases")
    found = {
        str(name): _salvage(database)
        for name, database in (databases.items() if isinstance(databases, Mapping) else ())
        if isinstance(database, Mapping)
    }
    return {name: database for name, database in found.items() if database is not None}


def _salvage(database: Mapping[str, Any]) -> DatabaseSettings | None:
    wrong: set[object] = set()
    for _ in range(2):
        kept = {key: value for key, value in database.items() if key not in wrong}
        try:
            return DatabaseSettings.model_validate(kept)
        except ValidationError as error:
            wrong = {detail["loc"][0] for detail in error.errors(include_input=False)}
    return None

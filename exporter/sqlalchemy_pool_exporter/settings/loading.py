"""Load the configuration: all of it, or its valid parts while others are invalid."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings
from sqlalchemy_pool_exporter.settings.errors import SettingsErrors
from sqlalchemy_pool_exporter.settings.messages import describe_validation_error
from sqlalchemy_pool_exporter.settings.settings import AppSettings, Settings, ValidationContext
from sqlalchemy_pool_exporter.settings.sources import (
    EMPTY,
    NESTING,
    PREFIX,
    list_secret_files,
    read_secrets_dir,
    read_sources,
)
from sqlalchemy_pool_exporter.settings.yaml_file import Document

EVERYTHING: Final = ValidationContext()
SYNTAX: Final = ValidationContext(check_files=False)
WITHOUT_WORK: Final = ValidationContext(needs_work=False)
# The sections that only concern databases.
DATABASE_KEYS: Final = frozenset({"databases", "probe"})
# What is needed to serve and to log while the rest of the configuration is invalid.
BOOTSTRAP_KEYS: Final = ("listen", "log")


def load_settings(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the settings of the command line, the environment, the secrets directory and the file.

    The first of these that sets a key wins.

    Raises:
        SettingsErrors: Lists every mistake that can be found at once. Neither it nor its context
            holds secrets.
    """
    return validate(read_sources(config, environ, options))


def validate(document: Document, context: ValidationContext = EVERYTHING) -> Settings:
    """Return merged sources as settings. Raises SettingsErrors with every mistake."""
    try:
        return Settings.model_validate(document.data, context=context)
    except ValidationError as error:
        raise describe_validation_error(error, document.origins) from None


def load_without_databases(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the settings without databases, which may be wrong or missing.

    Raises:
        SettingsErrors: Lists every mistake in the rest, unknown keys included, because each may
            be a misspelt setting.
    """
    secrets = read_secrets_dir(environ, _is_not_of_databases)
    merged = read_sources(config, environ, options, secrets)
    data = {key: value for key, value in merged.data.items() if key not in DATABASE_KEYS}
    return validate(Document(data, merged.origins), WITHOUT_WORK)


def load_bootstrap(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the valid ones of the settings that say where to serve and how to log.

    Everything else has its default. Raises nothing.
    """
    try:
        data = read_sources(config, environ, options, {}).data
    except SettingsErrors:
        data = read_sources(None, environ, options, {}).data
    usable: dict[str, Any] = {}
    for key in BOOTSTRAP_KEYS:
        with suppress(SettingsErrors, KeyError):
            validate(Document({key: data[key]}), WITHOUT_WORK)
            usable[key] = data[key]
    return validate(Document(usable), WITHOUT_WORK)


def list_files(config: Path | None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the files that `load_settings` reads, as far as they can be listed."""
    return [*([config] if config else []), *list_secret_files(environ)]


def recover_valid_app(data: Mapping[str, Any]) -> AppSettings:
    """Return the application's settings, or the defaults if they are invalid."""
    try:
        return AppSettings.model_validate(data.get("app", {}))
    except ValidationError:
        return AppSettings()


def recover_valid_databases(data: Mapping[str, Any]) -> dict[str, DatabaseSettings]:
    """Return the valid keys of each database in settings that are invalid somewhere.

    A database that has no URL without its invalid keys is left out.
    """
    databases = data.get("databases")
    if not isinstance(databases, Mapping):
        return {}
    found = {str(name): _recover_valid_keys(each) for name, each in databases.items()}
    return {name: database for name, database in found.items() if database is not None}


def _recover_valid_keys(database: object) -> DatabaseSettings | None:
    if not isinstance(database, Mapping):
        return None
    invalid: set[object] = set()
    for _ in range(2):
        kept = {key: value for key, value in database.items() if key not in invalid}
        try:
            return DatabaseSettings.model_validate(kept)
        except ValidationError as error:
            invalid = {detail["loc"][0] for detail in error.errors(include_input=False)}
    return None


def _is_not_of_databases(name: str) -> bool:
    return name.removeprefix(PREFIX).lower().split(NESTING)[0] not in DATABASE_KEYS

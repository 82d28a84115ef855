"""Load the configuration: all of it, or its valid parts while others are invalid."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import InitSettingsSource

from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.messages import describe_validation_error, locate
from sqlalchemy_pool_exporter.settings.settings import NESTING, PREFIX, Settings
from sqlalchemy_pool_exporter.settings.sources import (
    EMPTY,
    list_secret_files,
    read_secrets_dir,
    read_sources,
)
from sqlalchemy_pool_exporter.settings.yaml_file import Document, KeyPath

# The sections that only concern databases.
DATABASE_KEYS: Final = frozenset({"databases", "probe"})
# What is needed to serve and to log while the rest of the configuration is invalid.
BOOTSTRAP_KEYS: Final = frozenset({"listen", "log"})


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


def validate(sources: Sequence[Document], *, needs_work: bool = True) -> Settings:
    """Return sources as settings, which need a database or an application's folder by default.

    Raises:
        SettingsErrors: Lists every mistake. Files that the settings name are not read.
    """
    origins = merge_origins(sources)
    errors: list[SettingsError] = []
    if needs_work and not any(_has_work(source.data) for source in sources):
        expected = "at least one database, or app.dir"
        errors.append(locate(SettingsError("databases", "missing", expected), origins))
    try:
        settings = _build(sources)
    except ValidationError as error:
        errors += describe_validation_error(error, origins).errors
    if errors:
        raise SettingsErrors(errors)
    return settings


def merge_origins(sources: Sequence[Document]) -> dict[KeyPath, str]:
    """Return where the values that win come from."""
    return {path: origin for each in reversed(sources) for path, origin in each.origins.items()}


def load_without_databases(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the settings without databases, which may be wrong or missing.

    Raises:
        SettingsErrors: Lists every mistake in the rest, unknown keys included, because each may
            be a misspelt setting.
    """
    secrets = read_secrets_dir(environ, _is_not_of_databases)
    sources = read_sources(config, environ, options, secrets)
    return validate(_remove(sources, [(key,) for key in DATABASE_KEYS]), needs_work=False)


def load_bootstrap(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the valid ones of the settings that say where to serve and how to log.

    Everything else has its default. Raises nothing.
    """
    try:
        sources = read_sources(config, environ, options, {})
    except SettingsErrors:
        sources = read_sources(None, environ, options, {})
    others = {key for source in sources for key in source.data} - BOOTSTRAP_KEYS
    return recover_valid(_remove(sources, [(key,) for key in others]))


def recover_valid(sources: Sequence[Document]) -> Settings:
    """Return what is valid of sources: all but the invalid keys of each section and database.

    A database that has no URL without its invalid keys is left out.
    """
    for depth in (3, 2, 1):  # databases.NAME.key, databases.NAME, databases
        try:
            return _build(sources)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        invalid = {tuple(str(key) for key in detail["loc"][:depth]) for detail in details}
        sources = _remove(sources, invalid)
    return _build(sources)


def list_files(config: Path | None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the files that `load_settings` reads, as far as they can be listed."""
    return [*([config] if config else []), *list_secret_files(environ)]


def _build(sources: Iterable[Document]) -> Settings:
    # With PYDANTIC_SETTINGS_DEBUG in the environment, pydantic-settings logs every value.
    logging.getLogger("pydantic_settings").setLevel(logging.INFO)
    read = tuple(InitSettingsSource(Settings, dict(source.data)) for source in sources)
    return Settings(_build_sources=(read, {}))  # type: ignore[call-arg]  # mypy reads the fields


def _has_work(data: Mapping[str, Any]) -> bool:
    # An `app` that is not a mapping is a separate mistake.
    app = data.get("app", {})
    return bool(data.get("databases")) or not isinstance(app, Mapping) or app.get("dir") is not None


def _remove(sources: Iterable[Document], paths: Collection[KeyPath]) -> list[Document]:
    return [Document(_remove_keys(source.data, paths), source.origins) for source in sources]


def _remove_keys(data: Mapping[str, Any], paths: Collection[KeyPath]) -> dict[str, Any]:
    return {
        key: _remove_keys(value, [path[1:] for path in paths if path[:1] == (key,)])
        if isinstance(value, Mapping)
        else value
        for key, value in data.items()
        if (key,) not in paths
    }


def _is_not_of_databases(name: str) -> bool:
    return name.removeprefix(PREFIX).lower().split(NESTING)[0] not in DATABASE_KEYS

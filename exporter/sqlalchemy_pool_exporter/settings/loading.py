"""Reads the configuration: file, then secrets directory, then environment; the later ones win."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors, render_key
from sqlalchemy_pool_exporter.settings.messages import describe_validation_error, find_origin
from sqlalchemy_pool_exporter.settings.settings import AppSettings, Settings
from sqlalchemy_pool_exporter.settings.sources import (
    NESTING,
    PREFIX,
    DocumentSource,
    MergedSource,
    VariableSource,
    find_variables,
    list_secret_files,
    read_secrets_dir,
)
from sqlalchemy_pool_exporter.settings.yaml_file import Document, KeyPath, read_document
from sqlalchemy_pool_exporter.urls import check_files

_HALF: Final = re.compile("[\ud800-\udfff]")
# What is wrong with databases, by name, and the app's folder beyond what the settings tell.
FindErrors: TypeAlias = Callable[
    [Mapping[str, DatabaseSettings], AppSettings], Sequence[SettingsError]
]
Sources: TypeAlias = tuple[VariableSource, VariableSource, DocumentSource]


def find_no_errors(
    _databases: Mapping[str, DatabaseSettings], _app: AppSettings
) -> Sequence[SettingsError]:
    """For those who ask no more of settings than that they make sense."""
    return ()


def load_settings(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    find_errors: FindErrors = find_no_errors,
    *,
    reads_files: bool = True,
) -> Settings:
    """The settings of a YAML file, if one is given, and of the environment.

    `find_errors` is asked also when something else is wrong. Without `reads_files` certificates
    that URLs name need not be there, and of a secrets directory nothing is known.
    Raises SettingsErrors with every mistake that can be found at once, without secrets, and without
    an exception in its context that holds any.
    """
    sources = _build_sources(config, environ, read_secrets_dir(environ) if reads_files else {})
    merged = MergedSource(Settings)
    origins = _find_origins(sources)
    errors: Sequence[SettingsError] = ()
    settings = None
    with check_files(reads_files):
        try:
            settings = Settings(*sources, merged)
        except ValidationError as error:
            errors = describe_validation_error(error, origins).errors
        databases_found = settings.databases if settings else salvage_databases(merged.data)
        app = settings.app if settings else salvage_app(merged.data)
        found = [*find_lone_surrogates(merged.data), *find_errors(databases_found, app)]
    if settings is None or found:
        raise SettingsErrors([*errors, *(locate(error, origins) for error in found)])
    return settings


def merge_sources(
    config: Path | None, environ: Mapping[str, str], secrets: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[KeyPath, str]]:
    """What file, secrets directory and environment say together, right or wrong, and where.

    Raises SettingsErrors for a file that cannot be read.
    """
    sources = _build_sources(config, environ, secrets)
    merged = MergedSource(Settings)
    with suppress(ValidationError):
        Settings(*sources, merged)
    return merged.data, _find_origins(sources)


def _build_sources(
    config: Path | None, environ: Mapping[str, str], secrets: Mapping[str, str]
) -> Sources:
    """The last word first. Raises SettingsErrors for a file that cannot be read."""
    # With PYDANTIC_SETTINGS_DEBUG set it would log every value.
    logging.getLogger("pydantic_settings").setLevel(logging.INFO)
    file = DocumentSource(Settings, read_document(config) if config else Document())
    databases = file.list_databases()
    return (
        VariableSource(Settings, find_variables(environ), databases),
        VariableSource(Settings, secrets, databases),
        file,
    )


def _find_origins(sources: Sources) -> dict[KeyPath, str]:
    return {path: origin for each in reversed(sources) for path, origin in each.origins.items()}


def list_files(config: Path | None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that `load_settings` reads the settings from, if they can be listed."""
    return [*([config] if config else []), *list_secret_files(environ)]


def find_lone_surrogates(value: object, path: KeyPath = ()) -> Iterator[SettingsError]:
    """Texts with half a character in them, which nobody can write in UTF-8.

    YAML and JSON make it of "\\uD800", Python of a variable's bytes that are no UTF-8.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from find_lone_surrogates(key, path)
            yield from find_lone_surrogates(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from find_lone_surrogates(inner, path)
    elif isinstance(value, str) and _HALF.search(value):
        yield SettingsError(render_key(path), f"got {MASK}", "text in UTF-8")


def locate(error: SettingsError, origins: Mapping[KeyPath, str]) -> SettingsError:
    """The same mistake, and where its key stands; a name that is not shown is not found."""
    origin = find_origin(tuple(error.key.split(".")), origins) if MASK not in error.key else ""
    return SettingsError(error.key, error.shown, error.expected, error.origin or origin)


def salvage_app(data: Mapping[str, Any]) -> AppSettings:
    """The app's settings, or those of no app where they are wrong."""
    try:
        return AppSettings.model_validate(data.get("app", {}))
    except ValidationError:
        return AppSettings()


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


# What says something of databases and of nothing else.
DATABASE_KEYS: Final = frozenset({"databases", "probe"})
OF_START: Final = ("listen", "log")
# Settings want something to do: at least one database, or an app.
_PLACEHOLDER: Final[Mapping[str, Any]] = {"databases": {"none": {"url": "none://"}}}


def load_without_databases(
    config: Path | None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """As `load_settings`, without databases: those may be wrong or missing.

    Raises SettingsErrors with every mistake in the rest; unknown keys are among them, because
    nobody knows what they should have been.
    """
    merged, origins = merge_sources(config, environ, read_secrets_dir(environ, _is_of_rest))
    data = {key: value for key, value in merged.items() if key not in DATABASE_KEYS}
    errors: list[SettingsError] = [locate(error, origins) for error in find_lone_surrogates(data)]
    try:
        settings = _build(data)
    except ValidationError as error:
        raise SettingsErrors([*describe_validation_error(error, origins).errors, *errors]) from None
    if errors:
        raise SettingsErrors(errors)
    return settings


def load_bootstrap(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Where to serve and how to log, each as far as it can be used; else the defaults.

    Nothing else of the configuration is in it, whatever that says. Raises nothing.
    """
    try:
        data, _ = merge_sources(config, environ, {})
    except SettingsErrors:
        data, _ = merge_sources(None, environ, {})
    given = [{key: data[key]} for key in OF_START if key in data]
    return _build({key: value for each in given if _is_usable(each) for key, value in each.items()})


def _is_of_rest(name: str) -> bool:
    return name.removeprefix(PREFIX).lower().split(NESTING)[0] not in DATABASE_KEYS


def _is_usable(data: Mapping[str, Any]) -> bool:
    try:
        _build(data)
    except ValidationError:
        return False
    return True


def _build(data: Mapping[str, Any]) -> Settings:
    settings = Settings.model_validate({**data, **_PLACEHOLDER})
    return settings.model_copy(update={"databases": {}})

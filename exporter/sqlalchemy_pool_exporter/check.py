"""Checks a configuration as far as that goes without asking a database: `check-config`.

It must not connect to anything.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from sqlalchemy_pool_exporter.redaction import show_path
from sqlalchemy_pool_exporter.settings import (
    AppSettings,
    DatabaseSettings,
    PoolClass,
    Settings,
    SettingsError,
    SettingsErrors,
    load_settings,
)
from sqlalchemy_pool_exporter.settings.errors import render_key
from sqlalchemy_pool_exporter.settings.loading import find_no_errors
from sqlalchemy_pool_exporter.web_config import read_web_file


def check_config(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    output: TextIO | None = None,
    *,
    syntax_only: bool = False,
) -> int:
    """Writes what is wrong with a configuration to `output` (standard output); returns the status.

    A line for each mistake (key, value, expectation, never a secret) and 1; otherwise
    "configuration is valid: 2 databases" and 0. With `syntax_only` no files of secrets and
    certificates are read, and a web configuration only if it is there.
    """
    output = output or sys.stdout
    find_errors = find_no_errors if syntax_only else find_all_errors
    try:
        settings = load_settings(config, environ, find_errors, reads_files=not syntax_only)
        check_web_file(settings.web.config_file, syntax_only=syntax_only)
    except SettingsErrors as errors:
        output.write(f"{errors}\n")
        return 1
    count = len(settings.databases)
    output.write(f"configuration is valid: {count} database{'' if count == 1 else 's'}\n")
    return 0


def load_checked_settings(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """As `load_settings`, and reads the files that hold secrets and builds each database's URL."""
    return load_settings(config, environ, find_errors)


def find_all_errors(
    databases: Mapping[str, DatabaseSettings], app: AppSettings
) -> list[SettingsError]:
    """As `find_errors`, and what is wrong with the app's folder: serving begins without one."""
    return [*find_errors(databases, app), *_find_folder_errors(app)]


def find_errors(
    databases: Mapping[str, DatabaseSettings], _app: AppSettings
) -> list[SettingsError]:
    """What is wrong with the files of databases, and with what is in them."""
    return [
        error
        for name, database in databases.items()
        for error in _find_errors(render_key(("databases", name)), database)
    ]


def check_web_file(path: Path | None, *, syntax_only: bool = False) -> None:
    """Reads the web configuration, if there is one, and the files it names.

    With `syntax_only` only itself, if it is there. Raises SettingsErrors.
    """
    if path is None or (syntax_only and not path.exists()):
        return
    file = read_web_file(path)
    if not syntax_only:
        file.build_context()


def _find_folder_errors(app: AppSettings) -> Iterator[SettingsError]:
    """The app's folder may come with the app, but not the one above."""
    if app.dir is None:
        return
    shown = f"got {show_path(app.dir)}"
    try:
        if app.dir.exists() and not app.dir.is_dir():
            yield SettingsError("app.dir", shown, "a folder, not a file")
        elif not app.dir.exists() and not app.dir.parent.is_dir():
            expected = f"a folder, or room for one: {app.dir.parent} is none"
            yield SettingsError("app.dir", shown, expected)
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        yield SettingsError("app.dir", shown, f"a readable folder ({reason})")


def _find_errors(path: str, database: DatabaseSettings) -> Iterator[SettingsError]:
    try:
        url = database.read_url()
    except SettingsErrors as errors:
        yield from (error.below(path) for error in errors.errors)
        return
    except SettingsError as error:
        yield error.below(path)
        return
    if url.is_async and database.pool.pool_class is PoolClass.SINGLETON_THREAD:
        expected = f"queue, null, static or assertion with {url.url.drivername}"
        yield SettingsError(f"{path}.pool.class", "got singleton_thread", expected)

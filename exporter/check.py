"""Checks a configuration as far as that goes without asking a database: `check-config`.

It must not connect to anything.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from exporter.settings import (
    DatabaseSettings,
    PoolClass,
    Settings,
    SettingsError,
    SettingsErrors,
    load_settings,
)
from exporter.settings.errors import render_key
from exporter.web_config import read_web_file


def check_config(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    output: TextIO | None = None,
) -> int:
    """Writes what is wrong with a configuration to `output` (standard output); returns the status.

    A line for each mistake (key, value, expectation, never a secret) and 1; otherwise
    "configuration is valid: 2 databases" and 0.
    """
    output = output or sys.stdout
    try:
        settings = load_checked_settings(config, environ)
        check_web_file(settings.web.config_file)
    except SettingsErrors as errors:
        output.write(f"{errors}\n")
        return 1
    count = len(settings.databases)
    output.write(f"configuration is valid: {count} database{'' if count == 1 else 's'}\n")
    return 0


def load_checked_settings(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """As `load_settings`, and reads the files that hold secrets and builds each database's URL."""
    return load_settings(config, environ, find_errors)


def find_errors(databases: Mapping[str, DatabaseSettings]) -> list[SettingsError]:
    """What is wrong with the files of databases, and with what is in them."""
    return [
        error
        for name, database in databases.items()
        for error in _find_errors(render_key(("databases", name)), database)
    ]


def check_web_file(path: Path | None) -> None:
    """Reads the web configuration, if there is one, and the files it names.

    Raises SettingsErrors.
    """
    if path is not None:
        read_web_file(path).build_context()


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

"""Check a configuration and the files that it names, without connecting to anything."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from sqlalchemy_pool_exporter.dialects import (
    ArgumentProblem,
    DatabaseURL,
    find_driver,
    parse_url,
)
from sqlalchemy_pool_exporter.redaction import show_path
from sqlalchemy_pool_exporter.settings import (
    AppSettings,
    DatabaseSettings,
    PoolClass,
    Settings,
    SettingsError,
    SettingsErrors,
)
from sqlalchemy_pool_exporter.settings.errors import name_type, render_key, show_value
from sqlalchemy_pool_exporter.settings.loading import merge_origins, recover_valid, validate
from sqlalchemy_pool_exporter.settings.messages import locate
from sqlalchemy_pool_exporter.settings.sources import EMPTY, read_sources
from sqlalchemy_pool_exporter.settings.yaml_file import Document
from sqlalchemy_pool_exporter.web_config import read_web_file


def check_config(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    output: TextIO | None = None,
    *,
    options: Document = EMPTY,
    syntax_only: bool = False,
) -> int:
    """Report every mistake in a configuration, or that it is valid.

    Args:
        config: The YAML file.
        environ: The environment.
        output: Gets a line for each mistake or "configuration is valid: 2 databases"; standard
            output by default.
        options: The settings of the command line.
        syntax_only: Read neither secrets nor certificates; a web configuration may be missing.

    Returns:
        The exit status: 0 if the configuration is valid, else 1.
    """
    output = output or sys.stdout
    mistakes: list[SettingsError] = []
    try:
        if syntax_only:
            settings = load_syntax(config, environ, options)
        else:
            settings = load_checked_settings(config, environ, options, check_app_dir=True)
    except SettingsErrors as errors:
        mistakes += errors.errors
    try:
        check_web_file(find_web_file(config, environ, options), syntax_only=syntax_only)
    except SettingsErrors as errors:
        mistakes += errors.errors
    if mistakes:
        output.write("".join(f"{mistake}\n" for mistake in mistakes))
        return 1
    count = len(settings.databases)
    output.write(f"configuration is valid: {count} database{'' if count == 1 else 's'}\n")
    return 0


def load_syntax(
    config: Path | None, environ: Mapping[str, str] = os.environ, options: Document = EMPTY
) -> Settings:
    """Load the settings without reading any other file. Raises SettingsErrors."""
    sources = read_sources(config, environ, options, secrets={})
    settings = validate(sources)
    origins = merge_origins(sources)
    errors = [
        locate(error.below(render_key(("databases", name))), origins)
        for name, database in settings.databases.items()
        if database.url is not None
        for error in _find_argument_errors(
            parse_url(database.url.get_secret_value(), check_files=False),
            database.connect_args,
            check_files=False,
        )
    ]
    if errors:
        raise SettingsErrors(errors)
    return settings


def load_checked_settings(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    options: Document = EMPTY,
    *,
    check_app_dir: bool = False,
) -> Settings:
    """Load the settings and check that the files they name can be read and make valid URLs.

    With `check_app_dir` the application's folder or its parent must exist. Serving starts without
    it, because the application may create it later.

    Raises:
        SettingsErrors: Lists the mistakes in settings and files together.
    """
    sources = read_sources(config, environ, options)
    errors: list[SettingsError] = []
    try:
        settings = validate(sources)
    except SettingsErrors as invalid:
        errors += invalid.errors
        settings = recover_valid(sources)
    found = [*_find_database_errors(settings.databases)]
    if check_app_dir:
        found += _find_folder_errors(settings.app)
    origins = merge_origins(sources)
    errors += [locate(error, origins) for error in found]
    if errors:
        raise SettingsErrors(errors)
    return settings


def find_web_file(
    config: Path | None, environ: Mapping[str, str], options: Document
) -> Path | None:
    """Return the web configuration that the settings name, also where they have mistakes."""
    try:
        sources = read_sources(config, environ, options, secrets={})
    except SettingsErrors:
        return None
    return recover_valid(sources).web.config_file


def check_web_file(path: Path | None, *, syntax_only: bool = False) -> None:
    """Check the web configuration and the files it names. Raises SettingsErrors.

    Args:
        path: The file, if there is one.
        syntax_only: Check the file alone, and only if it exists.
    """
    if path is None or (syntax_only and not path.exists()):
        return
    file = read_web_file(path)
    if not syntax_only:
        file.build_context()


def _find_database_errors(databases: Mapping[str, DatabaseSettings]) -> Iterator[SettingsError]:
    for name, database in databases.items():
        path = render_key(("databases", name))
        try:
            url = database.read_url()
        except SettingsErrors as errors:
            yield from (error.below(path) for error in errors.errors)
            continue
        if url.is_async and database.pool.pool_class is PoolClass.SINGLETON_THREAD:
            expected = f"queue, null, static or assertion with {url.url.drivername}"
            yield SettingsError(f"{path}.pool.class", "got singleton_thread", expected)
        for error in _find_argument_errors(url, database.connect_args):
            yield error.below(path)


def _find_argument_errors(
    url: DatabaseURL, arguments: Mapping[str, object], *, check_files: bool = True
) -> Iterator[SettingsError]:
    driver = find_driver(url.url.get_backend_name(), url.url.get_driver_name())
    _, problems = driver.convert(arguments)
    for problem in problems:
        if check_files or not problem.is_file:
            key = render_key(("connect_args", *problem.path))
            yield SettingsError(key, _show_argument(problem), problem.expected)


def _show_argument(problem: ArgumentProblem) -> str:
    """Return what is there; a value that may be a secret only by its type."""
    if problem.is_unknown:
        return "unknown argument"
    value = problem.value
    is_public = problem.is_public or isinstance(value, bool)
    return f"got {show_value(value) if is_public else name_type(value)}"


def _find_folder_errors(app: AppSettings) -> Iterator[SettingsError]:
    if app.dir is None:
        return
    shown = f"got {show_path(app.dir)}"
    try:
        if app.dir.exists() and not app.dir.is_dir():
            yield SettingsError("app.dir", shown, "a folder, not a file")
        elif not app.dir.exists() and not app.dir.parent.is_dir():
            expected = f"a folder inside an existing one, which {app.dir.parent} is not"
            yield SettingsError("app.dir", shown, expected)
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        yield SettingsError("app.dir", shown, f"a readable folder ({reason})")

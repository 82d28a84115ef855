"""The sources of settings: command line, environment, secrets directory and file.

Each is read into a Document. pydantic-settings merges them: in this order, the first one wins.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from sqlalchemy_pool_exporter.redaction import show_path
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.secret_files import read_secret_file
from sqlalchemy_pool_exporter.settings.settings import MAX_DEPTH, NESTING, PREFIX, Settings
from sqlalchemy_pool_exporter.settings.yaml_file import Document, KeyPath, read_document

SECRETS_DIR: Final = "POOL_EXPORTER_SECRETS_DIR"
EMPTY: Final = Document()
# Setting one of them discards the other one from a weaker source.
ALTERNATIVES: Final = {"url": "url_file", "url_file": "url"}
# Kubernetes sets such variables in all containers if a Service is named pool-exporter.
_SERVICE_LINK: Final = re.compile(
    r"POOL_EXPORTER_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?)"
)


class VariableSource(EnvSettingsSource):
    """pydantic-settings' source of variables, for values that are decoded already."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - pydantic-settings' signature
        """Return the value. Decoding it here would raise errors that contain secrets."""
        return value


def read_sources(
    config: Path | None,
    environ: Mapping[str, str] = os.environ,
    options: Document = EMPTY,
    secrets: Mapping[str, str] | None = None,
) -> list[Document]:
    """Read all sources, valid or not, the strongest first.

    `secrets` are the variables of the secrets directory; without them that directory is read.

    Raises:
        SettingsErrors: For a file that cannot be read.
    """
    file = read_document(config) if config else EMPTY
    databases = file.data.get("databases")
    names = [str(name) for name in databases] if isinstance(databases, Mapping) else []
    if secrets is None:
        secrets = read_secrets_dir(environ)
    variables = [nest_variables(each, names) for each in (find_variables(environ), secrets)]
    sources: list[Document] = []
    for source in (options, *variables, file):
        stronger = [each.data for each in sources]
        data = reduce(drop_overridden_alternatives, stronger, source.data)
        sources.append(Document(data, source.origins))
    return sources


def nest_variables(variables: Mapping[str, str], databases: Iterable[str] = ()) -> Document:
    """Nest variables by their names: DATABASES__PRIMARY__URL is databases.primary.url.

    Values that look like JSON's objects and arrays are decoded, and so is every value of
    connect_args, because drivers care about types. Text that is not JSON stays text.

    Args:
        variables: Values by names in capitals, with PREFIX.
        databases: Names of databases in the file. Variables, which have neither case nor hyphens,
            match them regardless of both.
    """
    spelling = {_fold(name): name for name in databases}
    values: dict[KeyPath, Any] = {}
    origins: dict[KeyPath, str] = {}
    # Shorter names first: DATABASES='{...}' is refined by DATABASES__PRIMARY__URL.
    for name in sorted(variables, key=lambda name: (name.count(NESTING), name)):
        path = name.removeprefix(PREFIX).lower().split(NESTING, MAX_DEPTH)
        value = _decode(path, variables[name])
        if path[0] == "databases" and len(path) > 1:
            path[1] = spelling.get(_fold(path[1]), path[1])
        elif path[0] == "databases" and isinstance(value, dict):
            value = {spelling.get(_fold(key), key): each for key, each in value.items()}
        values[tuple(path)] = value
        origins[tuple(path)] = name
    source = VariableSource(Settings)
    source.env_vars = {PREFIX + NESTING.join(path): value for path, value in values.items()}
    data = source()
    for keys, value in values.items():
        _restore(data, keys, value)
    return Document(data, origins)


def drop_overridden_alternatives(
    lower: Mapping[Any, Any], upper: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Return `lower` without each url that `upper` replaces by a url_file, and vice versa."""
    return {
        key: drop_overridden_alternatives(value, upper[key])
        if isinstance(value, Mapping) and isinstance(upper.get(key), Mapping)
        else value
        for key, value in lower.items()
        if ALTERNATIVES.get(key) not in upper
    }


def find_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are settings, named in capitals; empty ones count as not set."""
    return {
        name.upper(): value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX)
        and name.upper() != SECRETS_DIR
        and value != ""
        and not _is_service_link(name.upper(), value)
    }


def read_secrets_dir(
    environ: Mapping[str, str], is_wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, str]:
    """Return the contents of the files in the secrets directory, by their names in capitals.

    Only files whose names `is_wanted` accepts are read.

    Raises:
        SettingsErrors: For a directory or a file that cannot be read.
    """
    folder = environ.get(SECRETS_DIR)
    if not folder:
        return {}
    try:
        files = _find_files(folder)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the folder's name
        reason = (getattr(error, "strerror", None) or "not readable").lower()
        expected = f"a readable directory ({reason})"
        raise SettingsErrors(
            [SettingsError(SECRETS_DIR, f"got {show_path(folder)}", expected)]
        ) from None
    return _read_files([file for file in files if is_wanted(file.name.upper())])


def list_secret_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that `read_secrets_dir` reads, none if the directory cannot be read."""
    folder = environ.get(SECRETS_DIR)
    try:
        return _find_files(folder) if folder else []
    except (OSError, ValueError):
        return []


def _restore(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Put back a variable that matches no key: pydantic-settings drops it, but it is a mistake."""
    for key in path[:-1]:
        if not isinstance(data.get(key), dict):
            data[key] = {}
        data = data[key]
    data.setdefault(path[-1], value)


def _decode(path: list[str], value: str) -> Any:
    is_argument = path[0] == "databases" and path[2:3] == ["connect_args"]
    if is_argument or value.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def _is_service_link(name: str, value: str) -> bool:
    is_port = name == f"{PREFIX}PORT" and "://" not in value
    return NESTING not in name and bool(_SERVICE_LINK.fullmatch(name)) and not is_port


def _find_files(folder: str) -> list[Path]:
    files = sorted(Path(folder).iterdir())
    return [file for file in files if file.name.upper().startswith(PREFIX)]


def _read_files(files: list[Path]) -> dict[str, str]:
    secrets, errors = {}, []
    for file in files:
        name = file.name.upper()
        try:
            secrets[name] = read_secret_file(name, file).rstrip("\r\n")
        except SettingsError as error:
            errors.append(error)
    if errors:
        raise SettingsErrors(errors)
    return secrets

"""Settings out of environment variables, and out of a directory of secrets named like them.

`POOL_EXPORTER_DATABASES__PRIMARY__URL` is `databases.primary.url`; in the directory that
`POOL_EXPORTER_SECRETS_DIR` names, a file of that name holds that value. It knows no settings.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from exporter.settings.document import Document, KeyPath
from exporter.settings.errors import SettingsError, SettingsErrors
from exporter.settings.secret_files import read_secret_file

PREFIX: Final = "POOL_EXPORTER_"
NESTING: Final = "__"
SECRETS_DIR: Final = "POOL_EXPORTER_SECRETS_DIR"
# Kubernetes describes a Service named pool-exporter to all containers by such variables.
_SERVICE_LINK: Final = re.compile(
    r"POOL_EXPORTER_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?)"
)


def read_environment(environ: Mapping[str, str]) -> Document:
    """The settings in the variables, which win over those in the secrets directory.

    Raises SettingsErrors for a directory or file that cannot be read.
    """
    variables = {**_read_secrets_dir(environ.get(SECRETS_DIR)), **_find_variables(environ)}
    data: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    # Shorter names first: DATABASES='{...}' is refined by DATABASES__PRIMARY__URL.
    for name in sorted(variables, key=lambda name: (name.count(NESTING), name)):
        path = tuple(name.removeprefix(PREFIX).lower().split(NESTING))
        _set(data, path, _read_value(path, variables[name]))
        origins[path] = name
    return Document(data, origins)


def _find_variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.upper(): value
        for name, value in environ.items()
        if name.upper().startswith(PREFIX)
        and name.upper() != SECRETS_DIR
        and value != ""
        and not _is_service_link(name.upper(), value)
    }


def _is_service_link(name: str, value: str) -> bool:
    is_port = name == f"{PREFIX}PORT" and "://" not in value
    return NESTING not in name and bool(_SERVICE_LINK.fullmatch(name)) and not is_port


def _read_secrets_dir(folder: str | None) -> dict[str, str]:
    if not folder:
        return {}
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        expected = f"a readable directory ({reason})"
        raise SettingsErrors([SettingsError(SECRETS_DIR, f"got {folder}", expected)]) from None
    secrets, errors = {}, []
    for file in files:
        name = file.name.upper()
        try:
            if name.startswith(PREFIX):
                secrets[name] = read_secret_file(name, file).rstrip("\r\n")
        except SettingsError as error:
            errors.append(error)
    if errors:
        raise SettingsErrors(errors)
    return secrets


def _read_value(path: KeyPath, text: str) -> Any:
    """JSON for mappings, lists and the driver's arguments; the rest is typed by the settings."""
    if text.lstrip()[:1] in ("{", "[") or "connect_args" in path:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _set(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        child = data.get(part)
        if not isinstance(child, dict):
            child = data[part] = {}
        data = child
    data[path[-1]] = value

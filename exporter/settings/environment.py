"""The variables that are settings, and the directory of secrets with files named like them.

`POOL_EXPORTER_DATABASES__PRIMARY__URL` is `databases.primary.url`; in the directory that
`POOL_EXPORTER_SECRETS_DIR` names, a file of that name holds that value. It knows no settings.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from exporter.settings.errors import SettingsError, SettingsErrors
from exporter.settings.secret_files import read_secret_file, show_path

PREFIX: Final = "POOL_EXPORTER_"
NESTING: Final = "__"
SECRETS_DIR: Final = "POOL_EXPORTER_SECRETS_DIR"
# Kubernetes describes a Service named pool-exporter to all containers by such variables.
_SERVICE_LINK: Final = re.compile(
    r"POOL_EXPORTER_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?)"
)


def find_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are ours, named in capitals; empty ones count as not set."""
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
    """What the files in the secrets directory hold, by their names in capitals.

    Only those whose names `is_wanted` are read. Raises SettingsErrors for a directory or any of
    these files that cannot be read. pydantic's own secrets sources leave such files out, and the
    settings would lack them without a word.
    """
    folder = environ.get(SECRETS_DIR)
    if not folder:
        return {}
    try:
        files = _find_files(folder)
    except (OSError, ValueError) as error:  # ValueError: what cannot be the name of a file
        reason = (getattr(error, "strerror", None) or "not readable").lower()
        expected = f"a readable directory ({reason})"
        raise SettingsErrors(
            [SettingsError(SECRETS_DIR, f"got {show_path(folder)}", expected)]
        ) from None
    return _read_files([file for file in files if is_wanted(file.name.upper())])


def list_secret_files(environ: Mapping[str, str]) -> list[Path]:
    """The files that `read_secrets_dir` reads; none where the directory cannot be read."""
    folder = environ.get(SECRETS_DIR)
    try:
        return _find_files(folder) if folder else []
    except (OSError, ValueError):
        return []


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


def _is_service_link(name: str, value: str) -> bool:
    is_port = name == f"{PREFIX}PORT" and "://" not in value
    return NESTING not in name and bool(_SERVICE_LINK.fullmatch(name)) and not is_port

"""Where settings come from, as sources for pydantic-settings: variables, and the YAML file.

They know the names of databases and how sources make way for each other; the rest of what settings
mean is for the settings to say.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from sqlalchemy_pool_exporter.redaction import show_path
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.secret_files import read_secret_file
from sqlalchemy_pool_exporter.settings.yaml_file import Document, KeyPath

# Saying one of them takes the other back where it is said with less precedence.
ALTERNATIVES: Final = {"url": "url_file", "url_file": "url"}
# Stands for each of the driver's arguments: of any type, and with more of them below it.
_ARGUMENT: Final = FieldInfo.from_annotation(dict[str, Any])
_UNKNOWN: Final = FieldInfo()


class VariableSource(EnvSettingsSource):
    """Variables named in capitals, of the environment or of the secrets directory.

    pydantic-settings nests and decodes them. Here no variable is lost: those of no known key are
    settings, too, for the settings to complain about.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        variables: Mapping[str, str],
        databases: Iterable[str] = (),
    ) -> None:
        """`databases` are names in the file: variables know no case and no hyphen."""
        super().__init__(settings_cls)
        self._databases = {_fold(name): name for name in databases}
        # Shorter names first: DATABASES='{...}' is refined by DATABASES__PRIMARY__URL.
        names = sorted(variables, key=lambda name: (name.count(NESTING), name))
        self.env_vars = {name.lower(): variables[name] for name in names}
        self.origins = {self._find_path(name): name for name in names}
        self._variables = variables

    def __call__(self) -> dict[str, Any]:
        """The settings in the variables, nested, for pydantic to merge and validate."""
        data = super().__call__()
        databases = data.get("databases")
        if isinstance(databases, dict):
            data["databases"] = {self._match(name): value for name, value in databases.items()}
        for path, name in self.origins.items():
            value = self.decode_complex_value(path[-1], _UNKNOWN, self._variables[name])
            _add_missing(data, path, value)
        return drop_overridden_alternatives(data, self.current_state)

    def next_field(
        self, field: FieldInfo | Any | None, key: str, case_sensitive: bool | None = None
    ) -> FieldInfo | None:
        """The field of a key below a field."""
        found = super().next_field(field, key, case_sensitive)
        # It says FieldInfo and returns types, too.
        return _ARGUMENT if found is Any else found  # type: ignore[comparison-overlap]

    def field_is_complex(self, field: FieldInfo) -> bool:  # noqa: ARG002 - pydantic's
        """True: mappings and lists are JSON everywhere, so that a misplaced one is not quoted."""
        return True

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON for mappings, lists and the driver's arguments; what is none stays text."""
        if field is _ARGUMENT or value.lstrip().startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                return super().decode_complex_value(field_name, field, value)
        return value

    def _find_path(self, name: str) -> KeyPath:
        first, *below = name.removeprefix(PREFIX).lower().split(NESTING)
        if first == "databases" and below:
            below[0] = self._match(below[0])
        return (first, *below)

    def _match(self, name: str) -> str:
        return self._databases.get(_fold(name), name)


class DocumentSource(PydanticBaseSettingsSource):
    """The YAML file, taken literally: its keys have a case, and unknown ones are not dropped."""

    def __init__(self, settings_cls: type[BaseSettings], document: Document) -> None:
        super().__init__(settings_cls)
        self._data = {str(key): value for key, value in document.data.items()}
        self.origins = document.origins

    def __call__(self) -> dict[str, Any]:
        """The settings in the file, for pydantic to merge and validate."""
        return drop_overridden_alternatives(self._data, self.current_state)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        """One setting of the top level: each source must have this, but ours is read whole."""
        return self._data.get(field_name), field_name, False

    def list_databases(self) -> list[str]:
        """The names of the databases in the file."""
        databases = self._data.get("databases")
        return [str(name) for name in databases] if isinstance(databases, Mapping) else []


class MergedSource(PydanticBaseSettingsSource):
    """Adds nothing; after a reading with it as the last source, `data` is what all others say."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.data: Mapping[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        """No settings."""
        self.data = self.current_state
        return {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        """No setting."""
        return None, field_name, False


def drop_overridden_alternatives(
    lower: Mapping[Any, Any], upper: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Returns `lower` without what `upper` says in another way: `url` or `url_file`."""
    return {
        key: drop_overridden_alternatives(value, upper[key])
        if _are_mappings(value, upper.get(key))
        else value
        for key, value in lower.items()
        if ALTERNATIVES.get(key) not in upper
    }


def _are_mappings(*values: object) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def _add_missing(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Adds what pydantic-settings leaves out: below unknown keys, and below text."""
    for part in path[:-1]:
        child = data.get(part)
        if not isinstance(child, dict):
            child = data[part] = {}
        data = child
    data.setdefault(path[-1], value)


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

"""Where settings come from, as sources for pydantic-settings: variables, and the YAML file.

They know the names of databases and how sources make way for each other; the rest of what settings
mean is for the settings to say.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from exporter.settings.document import Document, KeyPath
from exporter.settings.environment import NESTING, PREFIX

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
        return make_way(data, self.current_state)

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
        return make_way(self._data, self.current_state)

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


def make_way(lower: Mapping[Any, Any], upper: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns `lower` without what `upper` says in another way: `url` or `url_file`."""
    return {
        key: make_way(value, upper[key]) if _are_mappings(value, upper.get(key)) else value
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

"""The whole configuration as a pydantic model; `loading` reads one from files and variables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sqlalchemy_pool_exporter.redaction import MASK, show_path
from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings
from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.settings.fields import (
    DEFAULT_LISTEN,
    EXPECTED_ADDRESS,
    AddressError,
    FilePath,
    PositiveDuration,
    Section,
    parse_address,
    reject_variables,
)
from sqlalchemy_pool_exporter.settings.probes import ProbeSettings

PREFIX: Final = "POOL_EXPORTER_"
NESTING: Final = "__"
LEAK_THRESHOLD: Final = 300.0
# Deeper than any key; a bound for recursion.
MAX_DEPTH: Final = 32
# Names of databases become values of labels and parts of paths.
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,62}")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise expect("a name of letters, digits, _ and -, at most 63, starting with a letter or _")
    return name


def _check_address(address: Any) -> Any:
    try:
        parse_address(address if isinstance(address, str) else "")
    except AddressError:
        raise expect(EXPECTED_ADDRESS) from None
    reject_variables(address)
    return address


def _check_folder(folder: Path) -> Path:
    # The log and the status page show it, the latter in UTF-8.
    if show_path(folder) == MASK:
        expected = "a folder with a printable name without @, :/ and password"
        raise expect(expected, shown=f"got {MASK}")
    return folder


def _lower(word: Any) -> Any:
    return word.lower() if isinstance(word, str) else word


def _read_path(path: Any) -> Any:
    # `config_file: ""` turns it off.
    return None if path == "" else path


def _read_databases(databases: Any) -> Any:
    # An empty `databases:` remains when all of them are deleted from the file.
    return {} if databases is None else databases


DatabaseName = Annotated[str, AfterValidator(_check_name)]


class LogSettings(Section):
    """Log lines, which go to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info",
        description="Minimum level to log: debug (also what drivers log), info, warning or error",
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="text or json"
    )


class AppSettings(Section):
    """The application's own pools, read from the files that its processes write."""

    dir: Annotated[FilePath, AfterValidator(_check_folder)] | None = Field(
        default=None,
        description="The folder that SQLALCHEMY_POOL_METRICS_DIR names in the application",
    )
    per_process: bool = Field(
        default=False, description="Show the metrics of each process instead of their sum"
    )
    leak_threshold: PositiveDuration = Field(
        default=LEAK_THRESHOLD,
        description="How long a connection may be checked out before it counts as overdue",
    )


class MetricsSettings(Section):
    """What /metrics shows."""

    probe_pools: bool = Field(
        default=True, description="Show the exporter's own pools, besides the application's"
    )


class WebSettings(Section):
    """What HTTP offers besides metrics and health, and to whom."""

    enable_lifecycle: bool = Field(
        default=False,
        description="Allow POST requests that reload the configuration and recreate a pool",
    )
    config_file: Annotated[FilePath | None, BeforeValidator(_read_path)] = Field(
        default=None,
        description="File in the format of Prometheus' exporter-toolkit: TLS, users, headers",
    )


class Settings(BaseSettings):
    """A configuration that is valid as a whole. Keys that begin with x- may hold YAML anchors."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"patternProperties": {"^x-": True}},
        # Keys of the file have a case. `sources` writes the names of variables in lower case.
        case_sensitive=True,
        env_prefix=PREFIX,
        env_nested_delimiter=NESTING,
        env_nested_max_split=MAX_DEPTH,
    )

    listen: Annotated[str, BeforeValidator(_check_address)] = Field(
        default=DEFAULT_LISTEN, description="Address and port to listen on"
    )
    log: LogSettings = Field(default_factory=LogSettings, description="What to log, and how")
    probe: ProbeSettings = Field(
        default_factory=ProbeSettings, description="Defaults for the probes of all databases"
    )
    databases: Annotated[dict[DatabaseName, DatabaseSettings], BeforeValidator(_read_databases)] = (
        Field(
            default_factory=dict,
            description="The databases to probe, by name",
            json_schema_extra={"propertyNames": {"pattern": f"^{_NAME.pattern}$"}},
        )
    )
    app: AppSettings = Field(default_factory=AppSettings, description="The application's own pools")
    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings, description="What /metrics shows"
    )
    web: WebSettings = Field(default_factory=WebSettings, description="The web server")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use only the arguments: `loading` passes its own sources."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _hand_down_probe(cls, data: Any) -> Any:
        """Add the top level's `probe` to each database's own, key by key."""
        if not isinstance(data, Mapping) or not isinstance(data.get("databases"), Mapping):
            return data
        defaults = _read_probe(data.get("probe"))
        databases = {
            name: _add_defaults(database, defaults) for name, database in data["databases"].items()
        }
        return {**data, "databases": databases}

    @model_validator(mode="before")
    @classmethod
    def _drop_extensions(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if not str(key).startswith("x-")}


def _read_probe(probe: Any) -> Mapping[str, Any]:
    """Return valid defaults, else none: a mistake in them is reported once, not per database."""
    if isinstance(probe, ProbeSettings):
        return probe.model_dump()
    try:
        ProbeSettings.model_validate({} if probe is None else probe)
    except ValidationError:
        return {}
    return probe or {}


def _add_defaults(database: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(database, Mapping):
        return database
    own = database.get("probe", {})
    return {**database, "probe": {**defaults, **own}} if isinstance(own, Mapping) else database

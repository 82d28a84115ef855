"""The whole configuration.

It must not know where it is read from: that is for the sources it is given.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sqlalchemy_pool_exporter.redaction import MASK, may_be_secret
from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings
from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.settings.fields import (
    DEFAULT_LISTEN,
    EXPECTED_ADDRESS,
    AddressError,
    FilePath,
    Section,
    parse_address,
)
from sqlalchemy_pool_exporter.settings.probes import ProbeSettings
from sqlalchemy_pool_exporter.settings.sources import NESTING, PREFIX

# It becomes a label's value and a part of paths.
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,62}")
# pydantic-settings asks the class for its sources, where they belong to one call.
_sources: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("sources", default=())


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise expect("a name of letters, digits, _ and -, at most 63, starting with a letter or _")
    return name


def _check_address(address: Any) -> Any:
    try:
        parse_address(address if isinstance(address, str) else "")
    except AddressError:
        raise expect(EXPECTED_ADDRESS) from None
    return address


def _lower(word: Any) -> Any:
    return word.lower() if isinstance(word, str) else word


def _read_path(path: Any) -> Any:
    """Charts pass an option on that is set to nothing."""
    return None if path == "" else path


def _read_databases(databases: Any) -> Any:
    """Whoever has taken all of them out of the file leaves `databases:` behind."""
    return {} if databases is None else databases


DatabaseName = Annotated[str, AfterValidator(_check_name)]


def _check_folder(folder: Path) -> Path:
    """A URL, with a password perhaps, would be shown in the log and on pages."""
    if may_be_secret(folder):
        raise expect("a folder, its name without @, :/ and password", shown=f"got {MASK}")
    return folder


class LogSettings(Section):
    """Log lines go to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="The least severe lines to write: debug, info, warning or error"
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="text or json"
    )


class AppSettings(Section):
    """The app's own pools, as its processes write them."""

    dir: Annotated[FilePath, AfterValidator(_check_folder)] | None = Field(
        default=None,
        description="SQLALCHEMY_POOL_METRICS_DIR of the app: the shared folder of its files",
    )
    per_process: bool = Field(default=False, description="Metrics per process instead of their sum")


class WebSettings(Section):
    """What HTTP serves besides metrics and health."""

    enable_lifecycle: bool = Field(
        default=False, description="Allow POST requests that change something"
    )
    config_file: Annotated[Path | None, BeforeValidator(_read_path)] = Field(
        default=None,
        description="File in the format of Prometheus' exporter-toolkit: TLS, users, headers",
    )


class Settings(BaseSettings, Section):
    """A configuration that makes sense as a whole; `load_settings` reads one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTING)

    listen: Annotated[str, BeforeValidator(_check_address)] = Field(
        default=DEFAULT_LISTEN, description="Address and port to serve on"
    )
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged, and how")
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
    app: AppSettings = Field(
        default_factory=AppSettings, validate_default=True, description="The app's own pools"
    )
    web: WebSettings = Field(default_factory=WebSettings, description="The web server")

    def __init__(self, *sources: PydanticBaseSettingsSource, **values: Any) -> None:
        """Settings of sources, the first has the last word, or of values; of nothing else.

        Unlike other pydantic settings these never read the environment by themselves.
        """
        token = _sources.set(sources)
        try:
            super().__init__(**values)
        finally:
            _sources.reset(token)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **_ambient: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The values and sources that were given, not those of this process's environment."""
        return (init_settings, *_sources.get())

    @model_validator(mode="before")
    @classmethod
    def _hand_down_probe(cls, data: Any) -> Any:
        """Puts the top level's `probe` under each database's own, key by key."""
        if not isinstance(data, Mapping) or not isinstance(data.get("databases"), Mapping):
            return data
        defaults = _read_probe(data.get("probe"))
        databases = {
            name: _add_defaults(database, defaults) for name, database in data["databases"].items()
        }
        return {**data, "databases": databases}

    @field_validator("app")
    @classmethod
    def _check_has_work(cls, app: AppSettings, info: ValidationInfo) -> AppSettings:
        """Says nothing where the databases themselves are wrong: they are not in `info` then."""
        if app.dir is None and not info.data.get("databases", True):
            expected = "at least one database, or app.dir"
            raise expect(expected, sibling="databases", shown="missing")
        return app


def _read_probe(probe: Any) -> Mapping[str, Any]:
    """The defaults where they are valid: what is wrong is told once, not for every database."""
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

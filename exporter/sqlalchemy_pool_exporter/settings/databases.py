"""The settings of one database: where it is, what it should be, how it is probed."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from sqlalchemy_pool_exporter.dialects import DatabaseURL, parse_url
from sqlalchemy_pool_exporter.redaction import MASK, redact
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors, expect
from sqlalchemy_pool_exporter.settings.fields import (
    FILLED_IN,
    FilePath,
    OptionalDuration,
    Section,
    reject_variables,
)
from sqlalchemy_pool_exporter.settings.pools import PoolSettings
from sqlalchemy_pool_exporter.settings.probes import ProbeSettings
from sqlalchemy_pool_exporter.settings.secret_files import read_secret_file
from sqlalchemy_pool_exporter.urls import URLError, is_variable

# https://prometheus.io/docs/concepts/data_model/
_LABEL_NAME: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
# Every label in docs/metrics.md.
RESERVED_LABELS: Final = frozenset(
    {
        *("origin", "pool", "database", "application", "process"),
        *("holder", "reason", "kind", "result", "phase", "state", "le", "quantile"),
        *("dialect", "driver", "server_version", "collector", "version", "python", "sqlalchemy"),
        *("pool_class", "timeout", "recycle", "pre_ping", "use_lifo", "reset_on_return"),
        *("sqlalchemy_version", "agent_version"),
    }
)
_LABELS_SCHEMA: Final[dict[str, Any]] = {
    "propertyNames": {
        "pattern": rf"^(?!__){_LABEL_NAME}$",
        "not": {"enum": sorted(RESERVED_LABELS)},
    }
}


class Role(StrEnum):
    """What the server is expected to be."""

    PRIMARY = "primary"
    REPLICA = "replica"
    ANY = "any"


def _check_url(url: SecretStr) -> SecretStr:
    try:
        parse_url(url.get_secret_value(), check_files=False)
    except URLError as error:
        problems = [(f"got {problem.shown}", problem.expected) for problem in error.problems]
        raise expect("a database URL", problems=problems) from None
    return url


def _find_variable(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the path of a value that is nothing but a variable; empty if there is none."""
    for key, value in arguments.items():
        if isinstance(value, str) and is_variable(value):
            return (str(key),)
        if isinstance(value, Mapping) and (path := _find_variable(value)):
            return (str(key), *path)
    return ()


def _check_label_value(value: str) -> str:
    reject_variables(value)
    if redact(value) != value:
        raise expect("text without a password, since metrics are public", shown=f"got {MASK}")
    try:
        value.encode()
    except UnicodeEncodeError:  # "\uD800" in YAML
        raise expect("text in UTF-8", shown=f"got {MASK}") from None
    return value


def _check_label_name(name: str) -> str:
    if not re.fullmatch(_LABEL_NAME, name) or name.startswith("__"):
        raise expect("a label name of letters, digits and _, not starting with a digit or __")
    if name in RESERVED_LABELS:
        raise expect(f"another name, because the metrics already have a label {name}")
    return name


URL = Annotated[
    SecretStr,
    AfterValidator(_check_url),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_+]*://"}),
]
LabelName = Annotated[str, AfterValidator(_check_label_name)]
LabelValue = Annotated[str, AfterValidator(_check_label_value)]


class DatabaseSettings(Section):
    """One database. It needs `url` or `url_file`."""

    url: URL | None = Field(
        default=None, description="The application's URL: postgresql://app@db/orders"
    )
    url_file: FilePath | None = Field(
        default=None, validate_default=True, description="File that contains the URL"
    )
    password_file: FilePath | None = Field(
        default=None, description="File with the password, which replaces the URL's"
    )
    role: Role = Field(
        default=Role.ANY, description="Expected role of the server: primary, replica or any"
    )
    pool: PoolSettings = Field(
        default_factory=PoolSettings, description="Pool of the probes' connections"
    )
    connect_args: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="Additional arguments for the driver's connect()",
    )
    statement_timeout: OptionalDuration = Field(
        default=None,
        description="Limit that the server sets for each statement; null means probe.timeout",
    )
    probe: ProbeSettings = Field(
        default_factory=ProbeSettings, description="Overrides the defaults of `probe`, key by key"
    )
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict,
        description="Additional labels for this database's metrics",
        json_schema_extra=_LABELS_SCHEMA,
    )
    server_metrics: bool = Field(
        default=True, description="Read the server's limits, connections and replication lag"
    )

    @field_validator("connect_args")
    @classmethod
    def _check_filled_in(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        if path := _find_variable(arguments):
            raise expect(FILLED_IN, below=path, shown="got a variable")
        return arguments

    @field_validator("url_file")
    @classmethod
    def _check_one_url(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        # An invalid url is not in `info`; its own error is enough.
        if "url" in info.data and value is None and info.data["url"] is None:
            raise expect(
                "the database's URL, here or in a url_file", sibling="url", shown="missing"
            )
        if value is not None and info.data.get("url") is not None:
            raise expect("either url or url_file, not both")
        return value

    def read_url(self) -> DatabaseURL:
        """Return the URL with its password. Blocks while it reads small files.

        Raises:
            SettingsErrors: For files that cannot be read and URLs that are invalid, with keys
                relative to the database and without secrets.
        """
        errors: list[SettingsError] = []
        password = self._read("password_file", errors)
        if password is not None:
            password = password.rstrip("\r\n")
        if self.url is not None:
            key, text = "url", self.url.get_secret_value()
        else:
            key, text = "url_file", (self._read("url_file", errors) or "").strip()
        if text:
            try:
                url = parse_url(text, password)
            except URLError as error:
                errors += [SettingsError(key, f"got {p.shown}", p.expected) for p in error.problems]
        if errors:
            raise SettingsErrors(errors)
        return url

    def _read(self, key: str, errors: list[SettingsError]) -> str | None:
        """Return the text of the file at a key, or None after adding an error."""
        path = getattr(self, key)
        try:
            return None if path is None else read_secret_file(key, path)
        except SettingsError as error:
            errors.append(error)
            return None

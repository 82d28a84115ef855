"""What can be used of a configuration of which something cannot.

It must not know what is done with it meanwhile.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from exporter.settings.environment import NESTING, PREFIX, read_secrets_dir
from exporter.settings.errors import SettingsError, SettingsErrors
from exporter.settings.explanation import explain
from exporter.settings.loading import find_halves, locate, merge_sources
from exporter.settings.settings import Settings

# What says something of databases and of nothing else.
OF_DATABASES: Final = frozenset({"databases", "probe"})
OF_START: Final = ("listen", "log")
# Settings want something to do: at least one database, or an app.
_PLACEHOLDER: Final[Mapping[str, Any]] = {"databases": {"none": {"url": "sqlite://"}}}


def load_rest(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """As `load_settings`, without databases: those may be wrong or missing.

    Raises SettingsErrors with every mistake in the rest; unknown keys are among them, because
    nobody knows what they should have been.
    """
    merged, origins = merge_sources(config, environ, read_secrets_dir(environ, _is_of_rest))
    data = {key: value for key, value in merged.items() if key not in OF_DATABASES}
    errors: list[SettingsError] = [locate(error, origins) for error in find_halves(data)]
    try:
        settings = _build(data)
    except ValidationError as error:
        raise SettingsErrors([*explain(error, origins).errors, *errors]) from None
    if errors:
        raise SettingsErrors(errors)
    return settings


def load_start(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Where to serve and how to log, each as far as it can be used; else the defaults.

    Nothing else of the configuration is in it, whatever that says. Raises nothing.
    """
    try:
        data, _ = merge_sources(config, environ, {})
    except SettingsErrors:
        data, _ = merge_sources(None, environ, {})
    given = [{key: data[key]} for key in OF_START if key in data]
    return _build({key: value for each in given if _is_usable(each) for key, value in each.items()})


def _is_of_rest(name: str) -> bool:
    return name.removeprefix(PREFIX).lower().split(NESTING)[0] not in OF_DATABASES


def _is_usable(data: Mapping[str, Any]) -> bool:
    try:
        _build(data)
    except ValidationError:
        return False
    return True


def _build(data: Mapping[str, Any]) -> Settings:
    settings = Settings.model_validate({**data, **_PLACEHOLDER})
    return settings.model_copy(update={"databases": {}})

"""Turn pydantic's errors into SettingsErrors: key, place, value and expectation.

The expectation is pydantic's own, or that of our validators. Its echo of the input is never used.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sqlalchemy_pool_exporter.redaction import MASK, show_path
from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings
from sqlalchemy_pool_exporter.settings.errors import (
    SettingsError,
    SettingsErrors,
    name_type,
    render_key,
    show_value,
)
from sqlalchemy_pool_exporter.settings.fields import FILLED_IN
from sqlalchemy_pool_exporter.settings.settings import NESTING, PREFIX, Settings
from sqlalchemy_pool_exporter.settings.yaml_file import KeyPath
from sqlalchemy_pool_exporter.urls import has_variable


@dataclass(frozen=True, slots=True)
class MessageContext:
    """What messages need to know about a model.

    Attributes:
        root: The outermost section.
        secret_keys: Keys whose values, and what is below them, are never shown.
        path_keys: Keys whose values are paths of files.
    """

    root: type[BaseModel]
    secret_keys: frozenset[str]
    path_keys: frozenset[str]


SETTINGS: Final = MessageContext(
    Settings,
    secret_keys=frozenset({"url", "connect_args"}),
    path_keys=frozenset({"url_file", "password_file", "dir", "config_file"}),
)
# Keys of users who give the parts of a URL one by one.
PARTS_OF_URL: Final = frozenset({"dsn", "uri", "host", "port", "user", "username", "database"})
_MAPPING_TYPES: Final = frozenset({"dict_type", "model_type", "model_attributes_type"})
# "Input should be a valid integer": what follows is the expectation.
_SUBJECT: Final = re.compile(r"(?:Input|String|Keys) should (?:be|have) ")


def describe_validation_error(
    error: ValidationError, origins: Mapping[KeyPath, str], context: MessageContext = SETTINGS
) -> SettingsErrors:
    """Return every mistake in the order of the settings; `origins` say where values come from."""
    details = error.errors(include_url=False)
    return SettingsErrors(
        each for detail in details for each in _describe(detail, origins, context)
    )


def find_origin(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    """Return the origin of the value at the path, or of the nearest one below or above it."""
    if path in origins:
        return origins[path]
    below = (origin for other, origin in origins.items() if other[: len(path)] == path)
    above = (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins)
    return next(chain(below, above), "")


def locate(error: SettingsError, origins: Mapping[KeyPath, str]) -> SettingsError:
    """Return the mistake with its key's origin, unless that key is masked."""
    origin = find_origin(tuple(error.key.split(".")), origins) if MASK not in error.key else ""
    return SettingsError(error.key, error.shown, error.expected, error.origin or origin)


def list_keys(section: type[BaseModel]) -> list[str]:
    """Return the section's keys as they are written in the file."""
    return [_read_key(name, field) for name, field in section.model_fields.items()]


def list_sections(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the sections directly below this one; `databases` stands for each database."""
    found = {
        _read_key(name, field): _find_model(field) for name, field in section.model_fields.items()
    }
    return {key: model for key, model in found.items() if model}


def _describe(
    detail: ErrorDetails, origins: Mapping[KeyPath, str], context: MessageContext
) -> Iterator[SettingsError]:
    extra = detail.get("ctx", {})
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if "sibling" in extra:
        path = (*path[:-1], extra["sibling"])
    path = (*path, *extra.get("below", ()))
    key, origin = render_key(path), find_origin(path, origins)
    if detail["type"] == "extra_forbidden":
        yield SettingsError(key, "unknown key", _suggest(path, context.root), origin)
        return
    for shown, expected in extra.get("problems", [(None, None)]):
        shown = shown or extra.get("shown") or _show(path, detail, context)
        yield SettingsError(key, shown, expected or _expect(path, detail), origin)


def _show(path: KeyPath, detail: ErrorDetails, context: MessageContext) -> str:
    value = detail["input"]
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return f"got the name {show_value(value)}"
    # Text in place of a mapping may be a URL or a password, one level too high.
    is_misplaced = detail["type"] in _MAPPING_TYPES and isinstance(value, str)
    if is_misplaced or context.secret_keys & set(path):
        return f"got {name_type(value)}"
    if context.path_keys & set(path) and isinstance(value, str | Path):
        return f"got {show_path(value)}"
    return f"got {show_value(value)}"


def _expect(path: KeyPath, detail: ErrorDetails) -> str:
    if isinstance(detail["input"], str) and has_variable(detail["input"]):
        return FILLED_IN
    if detail["type"] == "expected":
        return str(detail["ctx"]["expected"])
    if detail["type"] in _MAPPING_TYPES:
        return _expect_mapping(path, detail["input"])
    return _SUBJECT.sub("", detail["msg"])


def _expect_mapping(path: KeyPath, value: object) -> str:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return "a mapping: as text, valid JSON"
    if len(path) != 2 or path[0] != "databases":
        return "a mapping"
    for key in list_keys(DatabaseSettings):
        database = path[1].removesuffix(f"_{key}")
        if database != path[1]:  # one underscore in a variable where two belong
            meant = render_key(("databases", database, key))
            return f"a mapping, at least with url: did you mean {meant}, that is two underscores?"
    return "a mapping, at least with url"


def _suggest(path: KeyPath, root: type[BaseModel]) -> str:
    """Return all keys of the section and the one that was probably meant."""
    section = _find_section(path[:-1], root)
    meant = _find_meant(path[-1].lower().replace("-", "_"), section)
    question = f": did you mean {meant}?" if meant else ""
    return f"one of {', '.join(list_keys(section))}{question}"


def _find_meant(spelled: str, section: type[BaseModel]) -> str | None:
    """Return the nearest key, even one level below: pool.size for pool_size or size."""
    if section is DatabaseSettings and spelled in PARTS_OF_URL:
        return "url"
    name = spelled.removeprefix(PREFIX.lower())
    if NESTING in name:  # the name of a variable
        return render_key(name.replace(NESTING, ".").split("."))
    candidates = {name: name for name in list_keys(section)}
    for child, deeper in list_sections(section).items():
        for name in list_keys(deeper) if child != "databases" else ():
            candidates.setdefault(f"{child}_{name}", f"{child}.{name}")
            candidates.setdefault(name, f"{child}.{name}")
        if child == "databases" and spelled in list_keys(deeper):
            candidates.setdefault(spelled, f"databases.NAME.{spelled}")
    nearest = difflib.get_close_matches(spelled, candidates, n=1)
    return candidates[nearest[0]] if nearest else None


def _find_section(path: Iterable[str], root: type[BaseModel]) -> type[BaseModel]:
    """Return the section at a path like ("databases", "primary", "pool")."""
    section = root
    parts = iter(path)
    for part in parts:
        section = list_sections(section)[part]
        if part == "databases":
            next(parts, None)
    return section


def _find_model(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *get_args(field.annotation))
    models = [each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)]
    return models[0] if models else None


def _read_key(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name

"""Says in our own words what pydantic found wrong: key, value, expectation.

It never passes on pydantic's text, which may quote the input.
"""

import difflib
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
    render_key,
    show_value,
)
from sqlalchemy_pool_exporter.settings.settings import Settings
from sqlalchemy_pool_exporter.settings.sources import NESTING, PREFIX
from sqlalchemy_pool_exporter.settings.yaml_file import KeyPath


@dataclass(frozen=True, slots=True)
class MessageContext:
    """What is explained. Values below `secret_keys` may be secrets, whatever they look like."""

    root: type[BaseModel]
    secret_keys: frozenset[str]
    path_keys: frozenset[str]


SETTINGS: Final = MessageContext(
    Settings,
    secret_keys=frozenset({"url", "connect_args"}),
    path_keys=frozenset({"url_file", "password_file", "dir", "config_file"}),
)
# What people give one by one who do not think of a URL.
PARTS_OF_URL: Final = frozenset({"dsn", "uri", "host", "port", "user", "username", "database"})
EXPECTED: Final[Mapping[str, str]] = {
    "missing": "a value",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of reasonable size",
    "int_from_float": "a whole number",
    "finite_number": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (in quotes if it looks like something else)",
    "string_unicode": "text in UTF-8",
    "string_too_short": "text that is not empty",
    "path_type": "a path",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "invalid_key": "a key that is text",
    "recursion_loop": "a value that does not contain itself",
}
LIMITS: Final[Mapping[str, str]] = {
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "expected": "{expected}",
}


def describe_validation_error(
    error: ValidationError, origins: Mapping[KeyPath, str], subject: MessageContext = SETTINGS
) -> SettingsErrors:
    """Every mistake, in the order of the settings; `origins` tell where the values come from."""
    details = error.errors(include_url=False)
    found = [each for detail in details for each in _explain(detail, origins, subject)]
    return SettingsErrors(found)


def _explain(
    detail: ErrorDetails, origins: Mapping[KeyPath, str], subject: MessageContext
) -> Iterator[SettingsError]:
    context = detail.get("ctx", {})
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if "sibling" in context:
        path = (*path[:-1], context["sibling"])
    key, origin = render_key(path), find_origin(path, origins)
    if detail["type"] == "extra_forbidden":
        yield SettingsError(key, "unknown key", _suggest(path, subject.root), origin)
        return
    for shown, expected in context.get("problems", [(None, None)]):
        shown = shown or context.get("shown") or _show(path, detail, subject)
        yield SettingsError(key, shown, expected or _expect(path, detail), origin)


def _show(path: KeyPath, detail: ErrorDetails, subject: MessageContext) -> str:
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return f"got the name {show_value(detail['input'])}"
    if subject.secret_keys & set(path) and detail["input"] is not None:
        return f"got {_name_kind(detail['input'])}"
    if "mapping" in EXPECTED.get(detail["type"], "") and isinstance(detail["input"], str):
        return "got text"  # a URL or a password that stands one level too high
    if subject.path_keys & set(path):
        value = detail["input"]
        return f"got {show_path(value) if isinstance(value, str | Path) else show_value(value)}"
    return f"got {show_value(detail['input'])}"


def _name_kind(value: object) -> str:
    """What a value is that must not be shown."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "text" if isinstance(value, str) else MASK


def _expect(path: KeyPath, detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind in LIMITS:
        text = LIMITS[kind].format_map(detail.get("ctx", {}))
        return text if kind == "expected" else text.replace("'", "")
    if kind.startswith("model_") and len(path) == 2 and path[0] == "databases":
        return "a mapping, at least with url"
    return EXPECTED.get(kind, "another value")


def find_origin(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    """Of the value itself, or of the nearest thing above or below it."""
    if path in origins:
        return origins[path]
    below = (origin for other, origin in origins.items() if other[: len(path)] == path)
    above = (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins)
    return next(chain(below, above), "")


def _suggest(path: KeyPath, root: type[BaseModel]) -> str:
    """The nearest key, also a level deeper (pool.size for pool_size or size), or else all keys."""
    section = find_section(path[:-1], root)
    meant = _find_meant(path[-1].lower().replace("-", "_"), section)
    question = f": did you mean {meant}?" if meant else ""
    return f"one of {', '.join(list_keys(section))}{question}"


def _find_meant(spelled: str, section: type[BaseModel]) -> str | None:
    if section is DatabaseSettings and spelled in PARTS_OF_URL:
        return "url"
    name = spelled.removeprefix(PREFIX.lower())
    if NESTING in name:  # a variable's name
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


ANY_NAME = "*"


def list_keys(section: type[BaseModel]) -> list[str]:
    """The section's keys as they are written in the file."""
    return [_read_key(name, field) for name, field in section.model_fields.items()]


def list_sections(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections directly below this one, `databases` standing for each of the databases."""
    found = {
        _read_key(name, field): _find_model(field) for name, field in section.model_fields.items()
    }
    return {key: model for key, model in found.items() if model}


def find_section(path: Iterable[str], root: type[BaseModel] = Settings) -> type[BaseModel]:
    """The section at a path like ("databases", "primary", "pool"). Raises KeyError."""
    section = root
    parts = iter(path)
    for part in parts:
        section = list_sections(section)[part]
        if part == "databases":
            next(parts, None)
    return section


def list_paths(section: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    """Every key there is, dotted: `databases.*.pool.size`."""
    sections = list_sections(section)
    for key in list_keys(section):
        yield f"{above}{key}"
        if key in sections:
            names = f"{ANY_NAME}." if key == "databases" else ""
            yield from list_paths(sections[key], f"{above}{key}.{names}")


def _find_model(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *get_args(field.annotation))
    models = [each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)]
    return models[0] if models else None


def _read_key(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name

"""Which keys there are, read off the settings' classes."""

from collections.abc import Iterable, Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.settings.settings import Settings

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

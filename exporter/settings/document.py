"""The YAML file: its content and where each key stands, every mistake told by line and column.

It knows nothing of the settings, and never quotes the file: any line may hold a password.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from exporter.settings.errors import SettingsError, SettingsErrors, render_key
from exporter.urls import HIDDEN

KeyPath = tuple[str, ...]
MERGE_TAG: Final = "tag:yaml.org,2002:merge"
EXPECTED: Final = "valid YAML (values with a colon or other special characters need quotes)"
CONTENT: Final = "settings, at least `databases:`"
# How PyYAML shows the character that it found where it cannot be.
TAB: Final = repr("\t")
# Of what PyYAML quotes only punctuation is harmless, ',' or '<stream end>': no alias, no tag.
_HARMLESS: Final = re.compile(r"(?:[^']|'(?:<[a-z ]+>|[^\w'])')*")


@dataclass(frozen=True, slots=True)
class Document:
    """Nested mappings, and where the values at their paths come from, for messages."""

    data: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[KeyPath, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """A key in the file: its path, its place, and the mapping it belongs to."""

    path: KeyPath
    node: ScalarNode
    mapping: MappingNode

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def column(self) -> int:
        return int(self.node.start_mark.column) + 1


def read_document(file: Path, *, content: str = CONTENT, may_be_empty: bool = False) -> Document:
    """Reads a YAML file that holds one mapping, of `content` as messages call it.

    Raises SettingsErrors whose keys are the file's name, with line and column where known.
    """
    loader = _open_loader(file)
    try:
        node = loader.get_single_node()
        keys = list(find_keys(node)) if node else []
        data = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        raise SettingsErrors([_describe(file, error)]) from None
    except RecursionError:
        raise SettingsErrors([SettingsError(str(file), "nested too deep", EXPECTED)]) from None
    except ValueError:  # 2024-99-99 looks like a date
        shown = "a date or number that does not exist"
        raise SettingsErrors([SettingsError(str(file), shown, EXPECTED)]) from None
    finally:
        loader.dispose()
    repeated = list(_find_repeated(file, keys))
    if repeated:
        raise SettingsErrors(repeated)
    if data is None and may_be_empty:
        return Document()
    if not isinstance(data, dict):
        shown = "empty" if data is None else "no mapping"
        raise SettingsErrors([SettingsError(str(file), shown, content)])
    return Document(data, {key.path: f"line {key.line}" for key in keys})


def find_keys(root: Node) -> Iterator[Key]:
    """Every key in the tree; below an alias only where its anchor stands."""
    pending: list[tuple[KeyPath, Node]] = [((), root)]
    seen: set[int] = set()
    while pending:
        path, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            pending += [((*path, str(i)), item) for i, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode):
                    yield Key((*path, key.value), key, node)
                    pending.append(((*path, key.value), value))


def _open_loader(file: Path) -> yaml.SafeLoader:
    try:
        return yaml.SafeLoader(file.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        error = SettingsError(str(file), "not UTF-8", "text in UTF-8")
    except yaml.reader.ReaderError as problem:
        shown = f"character {problem.character:#x} at position {problem.position}"
        error = SettingsError(str(file), shown, "text without control characters")
    except OSError as problem:
        reason = (problem.strerror or "not readable").lower()
        error = SettingsError(str(file), reason, "a readable YAML file")
    raise SettingsErrors([error])


def _describe(file: Path, error: yaml.MarkedYAMLError) -> SettingsError:
    mark = error.problem_mark or error.context_mark
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    if f"found character {TAB}" in (error.problem or ""):
        return SettingsError(f"{file}{place}", "a tab", "spaces, not tabs")
    shown = ": ".join(_mask(part) for part in (error.context, error.problem) if part)
    return SettingsError(f"{file}{place}", shown, EXPECTED)


def _mask(text: str) -> str:
    harmless = _HARMLESS.match(text)
    shown = harmless[0] if harmless else ""
    return shown if shown == text else f"{shown}{HIDDEN}"


def _find_repeated(file: Path, keys: Iterable[Key]) -> Iterator[SettingsError]:
    first: dict[tuple[int, str], Key] = {}
    for key in keys:
        earlier = first.setdefault((id(key.mapping), key.node.value), key)
        if earlier is not key and key.node.tag != MERGE_TAG:
            shown = f"{render_key(key.path)} for the second time"
            expected = f"each key once (it stands in line {earlier.line}, too)"
            yield SettingsError(f"{file}:{key.line}:{key.column}", shown, expected)

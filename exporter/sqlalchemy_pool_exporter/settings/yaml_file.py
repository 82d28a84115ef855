"""Read a YAML file as nested values with their lines.

Messages name line and column and never quote the file: any line may hold a password.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.settings.errors import (
    SettingsError,
    SettingsErrors,
    name_type,
    render_key,
)

KeyPath = tuple[str, ...]
MAX_BYTES: Final = 1024 * 1024
# A few lines of aliases of aliases stand for more values than fit into memory.
MAX_VALUES: Final = 100_000
CONTENT: Final = "settings, at least `databases:`"
VALID_YAML: Final = "valid YAML (values with a colon or other special characters need quotes)"
TAGS: Final = "tag:yaml.org,2002:"
TEXT_TAG: Final = f"{TAGS}str"
MERGE_TAG: Final = f"{TAGS}merge"
# PyYAML quotes the file. Punctuation and names of its tokens, like '<stream end>', are safe.
_SAFE_QUOTES: Final = re.compile(r"""(?:[^'"]|'(?:<[a-z ]+>|\\t|[^\w'])')*""")


@dataclass(frozen=True, slots=True)
class Document:
    """Nested values of one source of settings, and where each of them comes from."""

    data: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[KeyPath, str] = field(default_factory=dict)


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose errors for impossible dates and numbers have a place."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Build the value of a node. Raises MarkedYAMLError."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            # PyYAML lets these through for 2024-99-99 and !!int x, without a place.
            problem = "a date or number that does not exist"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


@dataclass(frozen=True, slots=True)
class Key:
    """A key in the file: its path, its node, and the mapping that it belongs to."""

    path: KeyPath
    node: ScalarNode
    mapping: MappingNode

    @property
    def line(self) -> int:
        """The line, counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def place(self) -> str:
        """Line and column as they follow a file's name."""
        return _render(self.node.start_mark)


def read_document(file: Path, *, content: str = CONTENT, may_be_empty: bool = False) -> Document:
    """Read a YAML file that holds one mapping.

    Args:
        file: The file, of at most MAX_BYTES.
        content: What the file should hold, for messages.
        may_be_empty: Whether a file without any value is an empty mapping.

    Raises:
        SettingsErrors: Their keys are the file's name, line and column.
    """
    text = _read_text(file)
    loader = _open_loader(file, text)
    try:
        node = loader.get_single_node()
        keys = list(find_keys(node)) if node else []
        if errors := [*_find_values_as_keys(file, keys), *_find_repeated(file, keys)]:
            raise SettingsErrors(errors)
        if node and _count_values(node, {}) > MAX_VALUES:
            shown = f"more than {MAX_VALUES} values with all aliases expanded"
            expected = "fewer values, and no alias inside its own anchor"
            raise SettingsErrors([SettingsError(str(file), shown, expected)])
        data = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        raise SettingsErrors([_describe(file, error)]) from None
    except RecursionError:
        raise SettingsErrors([SettingsError(str(file), "nested too deep", VALID_YAML)]) from None
    finally:
        loader.dispose()
    if data is None and may_be_empty:
        return Document()
    if not isinstance(data, dict):
        shown = "empty" if data is None else f"got {name_type(data)}"
        raise SettingsErrors([SettingsError(str(file), shown, content)])
    return Document(data, {key.path: f"line {key.line}" for key in keys})


def find_keys(root: Node) -> Iterator[Key]:
    """Yield every key in the tree, those below an alias only at its anchor."""
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


def _read_text(file: Path) -> str:
    content = b""
    try:
        with file.open("rb") as source:
            content = source.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8")
        error = SettingsError(str(file), f"larger than {MAX_BYTES} bytes", "a smaller file")
    except UnicodeDecodeError as problem:
        place = _locate(content[: problem.start].decode("utf-8"))
        error = SettingsError(f"{file}{place}", "not UTF-8", "text in UTF-8")
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the file's name
        reason = (getattr(problem, "strerror", None) or "not readable").lower()
        error = SettingsError(str(file), reason, "a readable YAML file")
    raise SettingsErrors([error])


def _open_loader(file: Path, text: str) -> Loader:
    try:
        return Loader(text)
    except yaml.reader.ReaderError as problem:
        shown = f"character {problem.character:#x}"
        place = _locate(text[: problem.position])
        error = SettingsError(f"{file}{place}", shown, "text without control characters")
    raise SettingsErrors([error])


def _find_values_as_keys(file: Path, keys: Iterable[Key]) -> Iterator[SettingsError]:
    """Yield keys without quotes that YAML reads as something else: 1, yes, ~, 2024-01-01."""
    for key in keys:
        kind = key.node.tag.removeprefix(TAGS)
        if key.node.tag.startswith(TAGS) and key.node.tag not in (TEXT_TAG, MERGE_TAG):
            shown = f"a key that YAML reads as {kind}"
            yield SettingsError(f"{file}{key.place}", shown, "text: put the key in quotes")


def _find_repeated(file: Path, keys: Iterable[Key]) -> Iterator[SettingsError]:
    first: dict[tuple[int, str], Key] = {}
    for key in keys:
        earlier = first.setdefault((id(key.mapping), key.node.value), key)
        if earlier is not key and key.node.tag != MERGE_TAG:
            shown = f"{render_key(key.path)} for the second time"
            expected = f"each key once (it is also in line {earlier.line})"
            yield SettingsError(f"{file}{key.place}", shown, expected)


def _count_values(node: Node, counts: dict[int, int]) -> int:
    """Count the values in a node, aliases expanded; more than MAX_VALUES for a cycle."""
    if id(node) not in counts:
        counts[id(node)] = MAX_VALUES  # counts for a node that contains itself
        inner: Iterable[Node] = ()
        if isinstance(node, MappingNode):
            inner = (each for pair in node.value for each in pair)
        elif isinstance(node, SequenceNode):
            inner = node.value
        counts[id(node)] = 1 + sum(_count_values(each, counts) for each in inner)
    return counts[id(node)]


def _describe(file: Path, error: yaml.MarkedYAMLError) -> SettingsError:
    """Return PyYAML's message, masked from the first quote of the file on."""
    mark = error.problem_mark or error.context_mark
    context = error.context and f"{error.context}{_render_line(error.context_mark)}"
    shown = ": ".join(_mask_quotes(part) for part in (context, error.problem) if part)
    return SettingsError(f"{file}{_render(mark)}", shown, VALID_YAML)


def _mask_quotes(text: str) -> str:
    safe = _SAFE_QUOTES.match(text)
    shown = safe[0] if safe else ""
    return shown if shown == text else f"{shown}{MASK}"


def _render(mark: yaml.Mark | None) -> str:
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _render_line(mark: yaml.Mark | None) -> str:
    return f" in line {mark.line + 1}" if mark else ""


def _locate(before: str) -> str:
    """Return the place after the text, as `_render` does."""
    lines = before.split("\n")
    return f":{len(lines)}:{len(lines[-1]) + 1}"

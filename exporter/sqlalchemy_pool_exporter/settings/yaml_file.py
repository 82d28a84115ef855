"""The YAML file: its content and where each key stands, every mistake told by line and column.

It knows nothing of the settings, and never quotes the file: any line may hold a password.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml import Mark, MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors, render_key

KeyPath = tuple[str, ...]
TAGS: Final = "tag:yaml.org,2002:"
MERGE_TAG: Final = f"{TAGS}merge"
CONTENT: Final = "settings, at least `databases:`"
MAX_BYTES: Final = 1024 * 1024
# Values with every alias in its place: a few lines of aliases of aliases would fill the memory.
MAX_VALUES: Final = 100_000
# What YAML makes of keys without quotes: 1, yes, ~, 2024-01-01.
KINDS: Final[Mapping[object, str]] = {
    f"{TAGS}int": "a number",
    f"{TAGS}float": "a number",
    f"{TAGS}bool": "true or false",
    f"{TAGS}null": "null",
    f"{TAGS}timestamp": "a date",
}


class Loader(yaml.SafeLoader):
    """Reads what is safe, and says where a date or a number stands that cannot be."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """The value of a node. Raises MarkedYAMLError where PyYAML lets another error through."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            # 2024-99-99 looks like a date, !!int x says that it is a number.
            problem = "a date or number that does not exist"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


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
    text = _read_text(file)
    loader = _open_loader(file, text)
    try:
        node = loader.get_single_node()
        keys = list(find_keys(node)) if node else []
        _check_keys(file, keys)
        _check_values(file, node)
        data = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        raise SettingsErrors([describe_yaml_error(file, text, error)]) from None
    except RecursionError:
        raise SettingsErrors([SettingsError(str(file), "nested too deep", EXPECTED)]) from None
    finally:
        loader.dispose()
    if data is None and may_be_empty:
        return Document()
    if not isinstance(data, dict):
        shown = _name_kind(data)
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


def _read_text(file: Path) -> str:
    content = b""
    try:
        with file.open("rb") as source:
            content = source.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8")
        error = SettingsError(str(file), f"larger than {MAX_BYTES} bytes", "a smaller file")
    except UnicodeDecodeError as problem:
        place = locate(content[: problem.start].decode("utf-8"))
        error = SettingsError(f"{file}{place}", "not UTF-8", "text in UTF-8")
    except (OSError, ValueError) as problem:
        reason = (getattr(problem, "strerror", None) or "not readable").lower()
        error = SettingsError(str(file), reason, "a readable YAML file")
    raise SettingsErrors([error])


def _open_loader(file: Path, text: str) -> Loader:
    try:
        return Loader(text)
    except yaml.reader.ReaderError as problem:
        shown = f"character {problem.character:#x}"
        place = locate(text[: problem.position])
        error = SettingsError(f"{file}{place}", shown, "text without control characters")
    raise SettingsErrors([error])


def _name_kind(data: object) -> str:
    """What stands in the file instead of a mapping."""
    if isinstance(data, list | str):
        return "a list" if isinstance(data, list) else "text"
    return "empty" if data is None else "no mapping"


def _check_keys(file: Path, keys: Iterable[Key]) -> None:
    """Raises SettingsErrors for keys that YAML takes for something else, and for repeated ones."""
    errors = [
        SettingsError(
            f"{file}:{key.line}:{key.column}",
            f"a key that YAML takes for {kind}",
            "text: it needs quotes",
        )
        for key in keys
        if (kind := KINDS.get(key.node.tag))
    ]
    errors += _find_repeated(file, keys)
    if errors:
        raise SettingsErrors(errors)


def _check_values(file: Path, root: Node | None) -> None:
    """Raises SettingsErrors where aliases unfold to too much, or for ever."""
    if root is not None and _count_values(root, {}) > MAX_VALUES:
        shown = f"more than {MAX_VALUES} values, aliases unfolded"
        expected = "fewer (one with an alias to itself has no end)"
        raise SettingsErrors([SettingsError(str(file), shown, expected)])


def _count_values(node: Node, counts: dict[int, int]) -> int:
    """Values in a node with every alias in its place; MAX_VALUES and more for one within itself."""
    if id(node) not in counts:
        counts[id(node)] = MAX_VALUES  # for whoever meets it while it is being counted
        inner: Iterable[Node] = ()
        if isinstance(node, MappingNode):
            inner = (each for pair in node.value for each in pair)
        elif isinstance(node, SequenceNode):
            inner = node.value
        counts[id(node)] = 1 + sum(_count_values(each, counts) for each in inner)
    return counts[id(node)]


def _find_repeated(file: Path, keys: Iterable[Key]) -> Iterator[SettingsError]:
    first: dict[tuple[int, str], Key] = {}
    for key in keys:
        earlier = first.setdefault((id(key.mapping), key.node.value), key)
        if earlier is not key and key.node.tag != MERGE_TAG:
            shown = f"{render_key(key.path)} for the second time"
            expected = f"each key once (it stands in line {earlier.line}, too)"
            yield SettingsError(f"{file}:{key.line}:{key.column}", shown, expected)


EXPECTED: Final = "valid YAML (values with a colon or other special characters need quotes)"
# For what PyYAML calls by names that only its authors know: how its text begins, and ours.
PROBLEMS: Final[Mapping[str, str]] = {
    "found undefined alias": "a value that begins with *",
    "could not determine a constructor": "a value that begins with !",
    "found unhashable key": "a key that is a list or a mapping",
    "mapping values are not allowed here": "a colon where none can be",
    "could not find expected ':'": "a line without a colon and a space behind its key",
    "expected <block end>, but found '<block mapping start>'": "an indentation that fits nothing",
}
# What was left behind in a file explains more than where YAML stumbles over it.
LEFTOVERS: Final[Mapping[str, str]] = {
    r"\{\{": "the {{ }} of a template must be filled in first",
    r"(?m)^(?:<{7} |>{7} )": "it holds the marks of a merge conflict",
}
# How PyYAML shows the character that it found where it cannot be.
TAB: Final = repr("\t")
# Of what PyYAML quotes only punctuation is harmless, ',' or '<stream end>': no alias, no tag.
_HARMLESS: Final = re.compile(r"(?:[^']|'(?:<[a-z ]+>|[^\w'])')*")
_END: Final = re.compile(r"<stream end>|end of stream")


def describe_yaml_error(file: Path, text: str, error: MarkedYAMLError) -> SettingsError:
    """One line about what PyYAML raised while it read the file's text."""
    problem = error.problem or ""
    if _END.search(problem) and error.context_mark:
        place = _render(error.context_mark)
        return SettingsError(f"{file}{place}", "a quote or bracket that is not closed", EXPECTED)
    place = _render(error.problem_mark or error.context_mark)
    if f"found character {TAB}" in problem:
        return SettingsError(f"{file}{place}", "a tab", "spaces, not tabs")
    return SettingsError(f"{file}{place}", _show(error, problem), _expect(text))


def locate(before: str) -> str:
    """Line and column behind the text, as they stand behind a file's name."""
    lines = before.split("\n")
    return f":{len(lines)}:{len(lines[-1]) + 1}"


def _render(mark: Mark | None) -> str:
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _show(error: MarkedYAMLError, problem: str) -> str:
    known = (ours for start, ours in PROBLEMS.items() if problem.startswith(start))
    said = ": ".join(_mask(part) for part in (error.context, problem) if part)
    return next(known, said)


def _expect(text: str) -> str:
    found = (about for pattern, about in LEFTOVERS.items() if re.search(pattern, text))
    leftover = next(found, None)
    return f"valid YAML: {leftover}" if leftover else EXPECTED


def _mask(text: str) -> str:
    harmless = _HARMLESS.match(text)
    shown = harmless[0] if harmless else ""
    return shown if shown == text else f"{shown}{MASK}"

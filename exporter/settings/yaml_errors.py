"""Says in our own words what PyYAML stumbles over, and where.

It never quotes the file, of which any line may hold a password.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from yaml import Mark, MarkedYAMLError

from exporter.settings.errors import SettingsError
from exporter.urls import HIDDEN

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
    return shown if shown == text else f"{shown}{HIDDEN}"

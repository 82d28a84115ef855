"""Mistakes in the configuration: key, value and expectation on one line each, without secrets."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.redaction import MASK, escape_unprintable, hide_secret

LONGEST_VALUE: Final = 60
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}")


class SettingsError(ValueError):
    """One mistake.

    Attributes:
        key: Dotted path of the key, or the name of a file.
        shown: What is there: "got 5", "missing".
        expected: What belongs there.
        origin: Where the value comes from: a line, a variable or an option.
    """

    def __init__(self, key: str, shown: str, expected: str, origin: str = "") -> None:
        where = f" ({origin})" if origin else ""
        super().__init__(escape_unprintable(f"{key}{where}: {shown}, expected {expected}"))
        self.key = key
        self.shown = shown
        self.expected = expected
        self.origin = origin

    def below(self, path: str) -> "SettingsError":
        """Return the same mistake with its key below `path`."""
        return SettingsError(f"{path}.{self.key}", self.shown, self.expected, self.origin)


class SettingsErrors(SettingsError):  # noqa: N818 - several of them
    """All mistakes of a configuration, at least one. The text has a line for each."""

    def __init__(self, errors: Iterable[SettingsError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.key, first.shown, first.expected, first.origin)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def expect(expected: str, **context: object) -> PydanticCustomError:
    """Return the error for a validator to raise.

    Args:
        expected: What belongs there.
        context: `shown` replaces the value in the message; `sibling` is the wrong key, if it is
            another one in the section; `below` is the path of the wrong key, if it is deeper;
            `problems` are several pairs of shown and expected.
    """
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected, **context})


def render_key(path: Iterable[object]) -> str:
    """Return a dotted path. Parts that are not plain names may be misplaced secrets: masked."""
    return ".".join(_render_part(str(part)) for part in path)


def show_value(value: object) -> str:
    """Return a value for a message: short, on one line, masked if it may be a secret."""
    if isinstance(value, str):
        return MASK if hide_secret(value) == MASK else repr(_shorten(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, Mapping | Sequence | set):
        return name_type(value)
    try:
        return _shorten(str(value))
    except ValueError:  # an integer with more digits than Python converts
        return "a number too long to show"


def name_type(value: object) -> str:
    """Return what kind of value this is, in YAML's words, for values that must not be shown."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, Sequence | set) else MASK


def _render_part(part: str) -> str:
    if not _PLAIN_KEY.fullmatch(part):
        return MASK
    return repr(part) if "." in part else part


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."

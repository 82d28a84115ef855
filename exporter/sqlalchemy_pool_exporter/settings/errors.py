"""What is wrong with the configuration: key, value, expectation, one line each, without secrets.

It knows neither the settings nor where they come from.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.redaction import MASK, escape_unprintable, hide_secret

LONGEST_VALUE: Final = 60
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}")


class SettingsError(ValueError):
    """One mistake. `shown` is what is there ("got 5", "missing"), `origin` where it stands."""

    def __init__(self, key: str, shown: str, expected: str, origin: str = "") -> None:
        where = f" ({origin})" if origin else ""
        super().__init__(escape_unprintable(f"{key}{where}: {shown}, expected {expected}"))
        self.key = key
        self.shown = shown
        self.expected = expected
        self.origin = origin

    def below(self, path: str) -> "SettingsError":
        """The same mistake, its key under `path`."""
        return SettingsError(f"{path}.{self.key}", self.shown, self.expected, self.origin)


class SettingsErrors(SettingsError):  # noqa: N818 - several of them
    """All mistakes of a configuration: `errors`, at least one; its text has a line for each."""

    def __init__(self, errors: Iterable[SettingsError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.key, first.shown, first.expected, first.origin)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def expect(expected: str, **context: object) -> PydanticCustomError:
    """The error a validator raises; `sibling` in the context names another key to blame."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected, **context})


def render_key(path: Iterable[object]) -> str:
    """Dotted path; a part that is no plain name may be a misplaced secret and is hidden."""
    return ".".join(_render_part(str(part)) for part in path)


def show_value(value: object) -> str:
    """A value as it may stand in a message: short, on one line, hidden where it may be a secret."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, str):
        return MASK if hide_secret(value) == MASK else repr(_shorten(value))
    if isinstance(value, Sequence | set):
        return "a list"
    try:
        return _shorten(str(value))
    except ValueError:  # a number of thousands of digits
        return "a number too long to show"


def _render_part(part: str) -> str:
    if not _PLAIN_KEY.fullmatch(part):
        return MASK
    return repr(part) if "." in part else part


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."

"""Reads the parameters of one URL, the part `?key=value`, and collects the mistakes in them."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.redaction import MASK, hide_secret
from sqlalchemy_pool_exporter.urls.parts import URLError, URLProblem

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})

_PLAIN_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")


class Parameters:
    """The parameters of one URL, each read by its key; `finish` raises all mistakes at once.

    If a key is given twice, the last value counts, as in libpq.
    """

    def __init__(self, query: Iterable[tuple[str, str]], *, check_files: bool = True) -> None:
        self._check_files = check_files
        self._values: dict[str, list[str]] = {}
        for key, value in query:
            self._values.setdefault(key, []).append(value)
        self._problems: list[URLProblem] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get_all(self, key: str) -> list[str]:
        """Return each value that the URL has for a key."""
        return self._values.get(key, [])

    def get(self, key: str) -> str | None:
        """Return the text of a key; None if it is missing, as in all methods below."""
        values = self.get_all(key)
        return values[-1] if values else None

    def get_choice(self, key: str, choices: Iterable[str]) -> str | None:
        """Return one of these texts."""
        value, choices = self.get(key), tuple(choices)
        if value is None or value in choices:
            return value
        self.reject(key, value, f"one of {', '.join(choices)}")
        return None

    def get_int(self, key: str) -> int | None:
        """Return a whole number."""
        value = self.get(key)
        if value is None:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            self.reject(key, value, "a whole number")
            return None
        return int(value)

    def get_seconds(self, key: str) -> float | None:
        """Return a number of seconds; None also for 0 and less, which mean no limit."""
        value = self.get(key)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]+)?", value.strip()):
            self.reject(key, value, "a number of seconds")
            return None
        return float(value) if float(value) > 0 else None

    def get_bool(self, key: str) -> bool | None:
        """Return True or False for one of the usual words."""
        value = self.get(key)
        if value is None:
            return None
        if value.lower() not in TRUE | FALSE:
            self.reject(key, value, "true or false")
            return None
        return value.lower() in TRUE

    def get_file(self, key: str, *words: str) -> str | None:
        """Return the path of a readable file, or one of the words."""
        value = self.get(key)
        if value is None or value in words:
            return value
        path = Path(value).expanduser()
        reason = find_unreadable(path)
        if reason is not None and self._check_files:
            self.reject(key, value, f"a readable file ({reason})")
        return None if reason else str(path)

    def list_items(self, *without: str) -> list[tuple[str, str]]:
        """Return the keys and their last values, without some keys."""
        return [(key, values[-1]) for key, values in self._values.items() if key not in without]

    def reject(self, key: str, value: str | None, expected: str) -> None:
        """Report a wrong value of a key that holds no secret."""
        self._problems.append(URLProblem(f"{key}={hide_secret(value or '')}", expected))

    def finish(
        self, driver: str, known: Iterable[str], hints: Mapping[str, str] | None = None
    ) -> None:
        """Report keys that the driver does not know, and raise URLError if anything was reported.

        `hints` name what to use instead of some keys.
        """
        known = sorted(known)
        for key in self._values:
            if key not in known:
                expected = (hints or {}).get(key) or _suggest(key, driver, known)
                # An odd name may be a piece of a password in which ? was not percent-encoded.
                shown = key if _PLAIN_NAME.fullmatch(key) else MASK
                self._problems.append(URLProblem(f"parameter {shown}", expected))
        if self._problems:
            raise URLError(*self._problems)


def _suggest(key: str, driver: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    question = f": did you mean {nearest[0]}?" if nearest else ""
    return f"a parameter {driver} knows{question}"


def find_unreadable(path: Path) -> str | None:
    """Return why a file cannot be read, in a few words; None if it can."""
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return (error.strerror or "cannot be opened").lower()

"""What is wrong with a database URL, said without its secrets.

It must not know the text of the URL: whoever raises passes what may be shown.
"""

import re
from dataclasses import dataclass
from typing import Final

HIDDEN: Final = "***"
_LOOKS_SECRET: Final = re.compile(r"(?i)://|[@=]|pass|pwd|secret|token|private key")


@dataclass(frozen=True, slots=True)
class URLProblem:
    """One mistake: `shown` is what is wrong, secrets hidden, `expected` what belongs there."""

    shown: str
    expected: str

    def __str__(self) -> str:
        return f"got {self.shown}, expected {self.expected}"


class URLError(ValueError):
    """A database URL that cannot be used; `problems` holds every mistake found, at least one."""

    def __init__(self, *problems: URLProblem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems

    @classmethod
    def of(cls, shown: str, expected: str) -> "URLError":
        return cls(URLProblem(shown, expected))


def hide_secret(text: str) -> str:
    """The text, hidden if it may be a secret, or hold one because a separator is missing."""
    return HIDDEN if _LOOKS_SECRET.search(text) else text

"""Masks what looks like a password in any text: the last defence, behind code that shows none.

It knows the shapes in which passwords travel, never the passwords; when in doubt it masks.
"""

import re
from typing import Final

MASK: Final = "***"

# scheme://user:password@, where the password may hold spaces, '/' and '@' that should have been
# percent-encoded; a port is no password.
_URL_PASSWORD = re.compile(
    r"(://[^\s/:@\[]*:)(?!\d{1,5}(?:[\s/?#,;'\")\]}]|$))[^\r\n]*@", re.MULTILINE
)
_WORD = re.compile(r"\S+")
# password=..., "password": "...", ?sslpassword=..., PGPASSWORD=...; a value may be quoted.
_NAMED_PASSWORD = re.compile(
    r"""(?ix) ( (?:password|passwd|pwd|secret|token) (?: ['"]? \s* = \s* | ['"] \s* : \s* ) )
        (?: '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | [^\s&,;)}\]]+ )"""
)


def redact(text: str) -> str:
    """Returns `text` with the passwords of URLs, connection strings and mappings masked."""
    if "@" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
        text = _WORD.sub(_redact_word, text)
    return _NAMED_PASSWORD.sub(rf"\1{MASK}", text)


def _redact_word(match: re.Match[str]) -> str:
    """Masks `user:password@host` with or without a scheme, however malformed."""
    word = match[0]
    before, at, host = word.rpartition("@")
    start = _find_password(before)
    return word if not at or start is None else f"{before[:start]}{MASK}@{host}"


def _find_password(credentials: str) -> int | None:
    separator = re.search(r":(?!//)", credentials)
    return separator.end() if separator else None

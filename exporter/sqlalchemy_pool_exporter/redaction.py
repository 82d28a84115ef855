"""Masks what looks like a password in any text: the last defence, behind code that shows none.

It knows the shapes in which passwords travel, never the passwords; when in doubt it masks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MASK: Final = "***"
_LOOKS_SECRET: Final = re.compile(r"(?i)://|[@=]|pass|pwd|secret|token|private key")

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


# Characters of a secret that words of a message hold by chance.
LONGEST_WORD = 3
# After %3A begins a word, too: there the secret stands in a URL that is encoded as a whole.
_WORD_BEGINS = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2}))"
_WORD_ENDS = r"(?!\w)"


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Masks every secret as it is, escaped, percent-encoded (even twice), or any mixture.

    One of few characters is masked as a whole word only, or no message could be read.
    """
    # The longest first: a secret that begins with another one must not leave its end behind.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        pattern = "".join(map(_build_pattern, secret))
        if len(secret) <= LONGEST_WORD:
            pattern = f"{_WORD_BEGINS}{pattern}{_WORD_ENDS}"
        text = re.sub(pattern, MASK, text)
    return redact(text)


def mask_words(text: str, words: Iterable[str]) -> str:
    """Masks the values of SQL parameters, which may be as short as a digit: only whole words."""
    for word in sorted(filter(None, words), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}{_WORD_ENDS}", MASK, text)
    return text


def _build_pattern(character: str) -> str:
    """Matches one character of a secret: itself, escaped as Python, JSON and SQL do, or encoded."""
    forms = {character, repr(character)[1:-1], json.dumps(character)[1:-1]}
    if character == " ":
        forms.add("+")
    backslashes = "" if character.isalnum() else r"\\*"
    plain = "|".join(backslashes + re.escape(form) for form in forms)
    # Encoded once, or twice.
    encoded = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode())
    return f"(?:{plain}|(?i:{encoded}))"


def show_path(path: Path | str) -> str:
    """The path, unless somebody put the secret itself where its file's name belongs."""
    text = str(path)
    return text if text.isprintable() and not may_be_secret(path) else MASK


def may_be_secret(path: Path | str) -> bool:
    """Whether it looks like a URL or a password rather than a path."""
    text = str(path)
    return "@" in text or ":/" in text or redact(text) != text


def show_secret_path(path: Path) -> str:
    """As `show_path`, and no word that may be the secret: only what leads through folders."""
    text = str(path)
    is_path = text.startswith(("/", "~/", "$")) or text.count("/") > 1 or _is_there(path)
    return show_path(path) if is_path else MASK


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or a folder that it could be in."""
    try:
        return path.exists() or (path.parent.name != "" and path.parent.is_dir())
    except (OSError, ValueError):
        return False


def hide_secret(text: str) -> str:
    """The text, hidden if it may be a secret, or hold one because a separator is missing."""
    return MASK if _LOOKS_SECRET.search(text) else text

"""Hide secrets in text for people, and keep such text printable.

`redact` recognises passwords by the shapes in which they travel and is the last defence for any
text. Where more is known, use a stricter function: `mask_secrets` knows the secrets themselves,
`hide_secret` and the path functions judge one value of the configuration. If in doubt, all mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MASK: Final = "***"
# scheme://user:password@, where the password may hold spaces, '/' and '@' that should have been
# percent-encoded; a port is not a password.
_URL_PASSWORD: Final = re.compile(
    r"(://[^\s/:@\[]*:)(?!\d{1,5}(?:[\s/?#,;'\")\]}]|$))[^\r\n]*@", re.MULTILINE
)
# password=..., "password": "...", ?sslpassword=..., PGPASSWORD=...; a value may be quoted.
_NAMED_PASSWORD: Final = re.compile(
    r"""(?ix) ( (?:password|passwd|pwd|secret|token) (?: ['"]? \s* = \s* | ['"] \s* : \s* ) )
        (?: '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | [^\s&,;)}\]]+ )"""
)
# What Python's codecs say about a text that they cannot encode or decode: the characters or bytes
# and their places, which may be those of a password.
_CODEC_ERROR: Final = re.compile(
    r"(can't (?:en|de)code) [^\r\n]*? in position [\d-]+|(Invalid character) '[^'\r\n]*'"
)
_WORD: Final = re.compile(r"\S+")
_LOOKS_SECRET: Final = re.compile(r"(?i)://|[@=]|pass|pwd|secret|token|private key")
# Secrets up to this length occur in ordinary words by chance.
LONGEST_WORD: Final = 3
# A word also begins after %3A: the secret may be in a URL that is percent-encoded as a whole.
_WORD_BEGINS: Final = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2}))"
_WORD_ENDS: Final = r"(?!\w)"


def redact(text: str) -> str:
    """Mask the passwords of URLs, connection strings and mappings in `text`."""
    if "@" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
        text = _WORD.sub(_redact_word, text)
    text = _CODEC_ERROR.sub(lambda found: f"{found[1] or found[2]} {MASK}", text)
    return _NAMED_PASSWORD.sub(rf"\1{MASK}", text)


def _redact_word(match: re.Match[str]) -> str:
    """Mask `user:password@host` with or without a scheme, however malformed."""
    word = match[0]
    before, at, host = word.rpartition("@")
    separator = re.search(r":(?!//)", before)
    return f"{before[: separator.end()]}{MASK}@{host}" if at and separator else word


def mask_secrets(text: str, secrets: Iterable[str], parameters: Iterable[str] = ()) -> str:
    """Mask every secret: plain, escaped, percent-encoded once or twice, or a mixture of these.

    Secrets of up to LONGEST_WORD characters are masked only as whole words: inside others they are
    part of the message. The same holds for `parameters`, SQL parameters of any length.
    """
    # The longest first, or a secret that begins with another one would leave its end behind.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        pattern = "".join(map(_build_pattern, secret))
        if len(secret) <= LONGEST_WORD:
            pattern = f"{_WORD_BEGINS}{pattern}{_WORD_ENDS}"
        text = re.sub(pattern, MASK, text)
    text = redact(text)
    for value in sorted(filter(None, parameters), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}{_WORD_ENDS}", MASK, text)
    return text


def _build_pattern(character: str) -> str:
    """Match one character of a secret: itself, escaped as Python, JSON and SQL do, or encoded."""
    forms = {character, repr(character)[1:-1], json.dumps(character)[1:-1]}
    if character == " ":
        forms.add("+")
    backslashes = "" if character.isalnum() else r"\\*"
    plain = "|".join(backslashes + re.escape(form) for form in forms)
    # Percent-encoded once, or twice.
    encoded = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode())
    return f"(?:{plain}|(?i:{encoded}))"


def hide_secret(text: str) -> str:
    """Return a value of the configuration, masked if it looks like a secret or may hold one."""
    return MASK if _LOOKS_SECRET.search(text) else text


def show_path(path: Path | str) -> str:
    """Return the path, masked if it looks like a URL or a password, or cannot be printed."""
    text = str(path)
    is_safe = text.isprintable() and "@" not in text and ":/" not in text
    return text if is_safe and redact(text) == text else MASK


def show_secret_path(path: Path) -> str:
    """Return the path of a file with a secret, masked unless it is clearly a path.

    A single word may be the secret itself, written where the name of its file belongs.
    """
    text = str(path)
    is_path = text.startswith(("/", "~/", "$")) or text.count("/") > 1 or _exists(path)
    return show_path(path) if is_path else MASK


def _exists(path: Path) -> bool:
    try:
        return path.exists() or (path.parent.name != "" and path.parent.is_dir())
    except (OSError, ValueError):
        return False


def escape_unprintable(text: str) -> str:
    """Return the text on one line, line breaks, control characters and lone surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

"""Masks known secrets in any text, in whatever form a URL or an error may have given them.

`exporter.redaction` masks what merely looks like a secret; this module knows the real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from exporter.redaction import MASK, redact


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Masks every secret as it is, escaped, percent-encoded (even twice), or any mixture."""
    # The longest first: a secret that begins with another one must not leave its end behind.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub("".join(map(_build_pattern, secret)), MASK, text)
    return redact(text)


def mask_words(text: str, words: Iterable[str]) -> str:
    """Masks the values of SQL parameters, which may be as short as a digit: only whole words."""
    for word in sorted(filter(None, words), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", MASK, text)
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

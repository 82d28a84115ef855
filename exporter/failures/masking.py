"""Masks known secrets in any text, in whatever form a URL or an error may have given them.

`exporter.redaction` masks what merely looks like a secret; this module knows the real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from exporter.redaction import MASK, redact

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

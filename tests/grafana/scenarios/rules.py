"""The committed rules with their minutes made seconds, so that a test sees alerts fire.

Divided are the durations in `[...]` and `[...:...]`, after `for:` and after `offset`, and the ages
of connections (`..._age_seconds > 300`), which are minutes too, and nothing else: shares, counts,
what a caller may wait and the names of recorded series stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.grafana.rule_files import RULE_FILES

# Five minutes are ten seconds: enough for a few scrapes and probes.
FACTOR = 30
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\[|:|\bfor: |\boffset )(\d+)([smhd])")
AGE = re.compile(r"(_age_seconds(?:\{[^}]*\})? > )(\d+)")


def quicken(text: str, factor: int = FACTOR) -> str:
    """Rules that do in a second what these do in `factor` of them."""

    def shorten(match: re.Match[str]) -> str:
        milliseconds = 1000 * int(match[2]) * UNITS[match[3]] // factor
        return f"{match[1]}{milliseconds}ms"

    shortened = DURATION.sub(shorten, text)
    return AGE.sub(lambda match: f"{match[1]}{int(match[2]) / factor:g}", shortened)


def write_rules(folder: Path) -> list[Path]:
    """All rule files, quickened, in the folder."""
    written = []
    for path in RULE_FILES:
        written.append(folder / path.name)
        written[-1].write_text(quicken(path.read_text(encoding="utf-8")))
    return written

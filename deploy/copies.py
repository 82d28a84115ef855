"""Copy dashboards and rules from grafana/ into the chart, because Helm reads no files outside it.

Run by `make generated`.
"""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
COPIES: Final = ROOT / "deploy" / "helm" / "files"
PATTERNS: Final = ("alerts/*.yaml", "dashboards/*.json")


def read_originals() -> dict[str, str]:
    """Return the files that belong in the folder, by path below it."""
    folder = ROOT / "grafana"
    files = [file for pattern in PATTERNS for file in folder.glob(pattern)]
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(files)}


def read_copies() -> dict[str, str]:
    """Return the files that are in the folder, by path below it."""
    files = [file for file in COPIES.rglob("*") if file.is_file()]
    return {str(file.relative_to(COPIES)): file.read_text() for file in sorted(files)}


def write_copies() -> None:
    """Update the folder, and delete files that have no original any more."""
    originals = read_originals()
    for name in read_copies().keys() - originals.keys():
        (COPIES / name).unlink()
    for name, text in originals.items():
        (COPIES / name).parent.mkdir(parents=True, exist_ok=True)
        (COPIES / name).write_text(text)


if __name__ == "__main__":
    write_copies()

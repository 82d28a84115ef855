#!/usr/bin/env python3
"""Print the third-party requirements of the distributions in the given folders, one on each line.

With --build first, print their build requirements. It runs in the image's build with Python alone.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

EXTRAS = ("isal", "mysql", "prometheus", "psycopg")
OURS = "sqlalchemy-pool-"


def list_requirements(document: dict[str, Any], *, build: bool) -> list[str]:
    """Return the requirements in a pyproject.toml, including our own distributions."""
    if build:
        return list(document["build-system"]["requires"])
    project = document["project"]
    optional = project.get("optional-dependencies", {})
    extras = [optional[name] for name in EXTRAS if name in optional]
    return [line for lines in (project["dependencies"], *extras) for line in lines]


def main(arguments: list[str]) -> None:
    """Print the requirements."""
    build = arguments[:1] == ["--build"]
    folders = [Path(name) for name in arguments[build:]]
    documents = [tomllib.loads((folder / "pyproject.toml").read_text()) for folder in folders]
    found = {line for document in documents for line in list_requirements(document, build=build)}
    sys.stdout.writelines(f"{line}\n" for line in sorted(found) if not line.startswith(OURS))


if __name__ == "__main__":
    main(sys.argv[1:])

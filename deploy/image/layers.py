#!/usr/bin/env python3
"""Print the layers of an image as a Markdown table.

    deploy/image/layers.py IMAGE [--write]

With --write, put the table into docs/kubernetes.md, between the comments `image size`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "kubernetes.md"
BEGIN, END = "<!-- image size: begin -->", "<!-- image size: end -->"
MEGABYTE: Final = 1_000_000
# Smaller layers hold nothing but settings.
NOTHING: Final = 10_000


def read_history(image: str) -> list[dict[str, Any]]:
    """Return the image's layers as podman lists them, the oldest first."""
    command = ["podman", "history", "--no-trunc", "--format", "json", image]
    try:
        completed = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - no shell
    except FileNotFoundError:
        sys.exit("layers.py: podman is missing: apt-get install podman")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    return list(reversed(json.loads(completed.stdout)))


def build_table(image: str, history: Iterable[dict[str, Any]]) -> str:
    """Return the table, with the sum in its first line."""
    layers = [layer for layer in history if layer["size"] >= NOTHING]
    rows = [(image, sum(layer["size"] for layer in layers))]
    rows += [(f"`{describe(layer['CreatedBy'])}`", layer["size"]) for layer in layers]
    lines = [f"| {name} | {size / MEGABYTE:.1f} MB |" for name, size in rows]
    return "\n".join(["| layer | size, not compressed |", "| --- | ---: |", *lines])


def describe(command: str) -> str:
    """Return the Dockerfile's instruction, without parts that change with each build."""
    text = re.sub(r"^/bin/sh -c (#\(nop\) +)?", "", command)
    text = re.sub(r"\b(file|dir):[0-9a-f]+ in ", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    if not re.match(r"[A-Z]+ ", text):
        text = f"RUN {text}"
    # Cleaning up is not what makes the layer.
    return text.partition(" && rm ")[0]


def replace_table(text: str, table: str) -> str:
    """Return the document with the table between its comments; raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document has no {BEGIN} with {END} after it")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description="Prints the layers of an image.")
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--write", action="store_true", help=f"into docs/{DOCUMENT.name}")
    options = parser.parse_args(arguments)
    name = options.image.rpartition("/")[2]
    table = build_table(name, read_history(options.image))
    if options.write:
        DOCUMENT.write_text(replace_table(DOCUMENT.read_text(), table))
    else:
        sys.stdout.write(f"{table}\n")


if __name__ == "__main__":
    main()

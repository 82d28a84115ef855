"""Prints tables for people and for benchmarks/README.md: they are Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.workers import Measured

__all__ = ["print_comparison", "print_table"]


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with the first column to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    print(f"\n{title}\n")
    for cells in (header, rule, *rows):
        aligned = [cells[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        print(f"| {' | '.join(aligned)} |")


def print_comparison(title: str, measured: Mapping[str, Measured]) -> None:
    """A row per variant: time per cycle, ratio to the first one, and how far launches differ."""
    rows = [[name, *_cells(variant)] for name, variant in measured.items()]
    print_table(title, ["variant", "µs", "ratio", "of launches"], rows)


def _cells(variant: Measured) -> list[str]:
    if variant.refusal:
        return [variant.refusal, "", ""]
    lowest, highest = min(variant.ratios), max(variant.ratios)
    microseconds = f"{variant.typical_ns / 1000:.2f}"
    return [microseconds, f"{variant.ratio:.2f}", f"{lowest:.2f} to {highest:.2f}"]

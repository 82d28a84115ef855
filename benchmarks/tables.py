"""Markdown tables for the terminal and benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.workers import Measured

__all__ = ["print_comparison", "print_table"]


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with the first column left-aligned and numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    print(f"\n{title}\n")
    for cells in (header, rule, *rows):
        aligned = [cells[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        print(f"| {' | '.join(aligned)} |")


def print_comparison(title: str, measured: Mapping[str, Measured]) -> None:
    """Print a row for each variant: time per cycle, ratio to the first, range of launches."""
    rows = [[name, *_cells(variant)] for name, variant in measured.items()]
    print_table(title, ["variant", "µs", "ratio", "of launches"], rows)


def _cells(variant: Measured) -> list[str]:
    if variant.refusal:
        return [variant.refusal, "", ""]
    lowest, highest = min(variant.ratios), max(variant.ratios)
    microseconds = f"{variant.typical_ns / 1000:.2f}"
    return [microseconds, f"{variant.ratio:.2f}", f"{lowest:.2f} to {highest:.2f}"]

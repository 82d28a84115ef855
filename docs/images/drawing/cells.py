"""The cells of a table: the answers of its queries, merged and named as Grafana does it."""

from __future__ import annotations

from collections.abc import Sequence

from docs.images.drawing.answers import Answer, Json

Cell = float | str | None
Row = dict[str, Cell]


def merge(panel: Json, answer: Answer) -> list[Row]:
    """A row for all that has the same labels where both have them, in the panel's order."""
    options = find_options(panel)
    merged: list[Row] = []
    for target, found in zip(panel["targets"], answer.series, strict=True):
        column = options["renameByName"].get(f"Value #{target['refId']}", target["refId"])
        for series in found:
            labels = name_labels(series.labels, options)
            fitting = (row for row in merged if fits(row, labels) and column not in row)
            row = next(fitting, None)
            if row is None:
                merged.append(row := {})
            row |= {**labels, column: series.values[-1]}
    return sort(merged, panel["options"]["sortBy"])


def name_labels(labels: Json, options: Json) -> dict[str, str]:
    renamed, hidden = options["renameByName"], options["excludeByName"]
    return {renamed.get(name, name): text for name, text in labels.items() if not hidden.get(name)}


def fits(row: Row, labels: Json) -> bool:
    return all(row.get(name, value) == value for name, value in labels.items())


def sort(rows: list[Row], by: Sequence[Json]) -> list[Row]:
    """Those that have no such cell come last."""
    if not by:
        return rows
    name = by[0]["displayName"]
    known = [row for row in rows if row.get(name) is not None]
    rest = [row for row in rows if row.get(name) is None]
    return sorted(known, key=lambda row: row[name], reverse=by[0]["desc"]) + rest  # type: ignore[arg-type,return-value]


def list_columns(panel: Json, rows: Sequence[Row]) -> list[str]:
    """In the panel's order, those that have anything."""
    options = find_options(panel)
    order = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    names = dict.fromkeys(options["renameByName"].get(name, name) for name in order)
    return [name for name in names if any(row.get(name) not in (None, "") for row in rows)]


def find_options(panel: Json) -> Json:
    [found] = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    options: Json = found
    return options

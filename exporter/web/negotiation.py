"""What a client prefers, read from its Accept and Accept-Encoding headers.

It knows RFC 9110, nothing of metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preference:
    """One entry of a header: its value in lower case, its weight (0 to 1) and other parameters."""

    value: str
    weight: float
    parameters: Mapping[str, str]


def parse_preferences(header: str) -> list[Preference]:
    """Returns the entries a client wants, most wanted first, in the header's order among equals.

    An entry with the weight 0 is kept: it says what is not wanted. One without a readable weight is
    left out. https://www.rfc-editor.org/rfc/rfc9110#name-quality-values
    """
    entries = (_parse_entry(entry) for entry in header.split(","))
    wanted = [entry for entry in entries if entry and 0 <= entry.weight <= 1]
    return sorted(wanted, key=lambda entry: -entry.weight)


def accepts_gzip(header: str) -> bool:
    """Tells whether an Accept-Encoding header asks for gzip; without the header nobody does."""
    weights = {entry.value: entry.weight for entry in reversed(parse_preferences(header))}
    return weights.get("gzip", weights.get("*", 0)) > 0


def _parse_entry(entry: str) -> Preference | None:
    value, *rest = (part.strip() for part in entry.split(";"))
    pairs = (part.partition("=") for part in rest)
    parameters = {key.strip().lower(): text.strip().strip('"') for key, _, text in pairs}
    try:
        weight = float(parameters.pop("q", "1"))
    except ValueError:
        return None
    return Preference(value.lower(), weight, parameters) if value else None

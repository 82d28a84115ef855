"""The labels configured per database: one set of names for every family.

It knows names and values, not what they are attached to.
"""

from collections.abc import Iterable, Mapping, Sequence


def read_label_names(labels: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Returns the names any of the databases has, sorted."""
    return tuple(sorted({name for mapping in labels for name in mapping}))


def fill_labels(labels: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Returns a value for each of `names`, empty where the database has none."""
    return {name: labels.get(name, "") for name in names}

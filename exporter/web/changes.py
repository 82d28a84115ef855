"""What is different after a reload, in words for the log.

It compares what has names, and must not know what that is.
"""

from collections.abc import Iterator, Mapping


def describe_changes(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Returns "added c; changed a; removed b" for what is by name; empty when all is the same."""
    return "; ".join(_list_changes(before, after))


def _list_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    kinds = {
        "added": [name for name in after if name not in before],
        "changed": [n for n in after if n in before and after[n] is not before[n]],
        "removed": [name for name in before if name not in after],
    }
    for kind, names in kinds.items():
        if names:
            yield f"{kind} {', '.join(names)}"

"""What is different after a reload, in words for the log.

It compares what has names, and must not know what that is.
"""

from collections.abc import Iterator, Mapping


def list_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """Yields "added c", "changed a, b", "removed d" for what is by name; nothing for the same."""
    kinds = {
        "added": [name for name in after if name not in before],
        "changed": [n for n in after if n in before and after[n] is not before[n]],
        "removed": [name for name in before if name not in after],
    }
    for kind, names in kinds.items():
        if names:
            yield f"{kind} {', '.join(names)}"

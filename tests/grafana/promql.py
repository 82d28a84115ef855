"""Parsed PromQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import promql_parser


class Selector(NamedTuple):
    """A series selector with the expressions around it, the innermost last."""

    name: str
    matchers: dict[str, str]
    parents: Sequence[Any]


def list_selectors(expr: str) -> list[Selector]:
    """Return the selectors of an expression; raises ValueError if it cannot be parsed."""
    return [
        Selector(node.name or "", _read_matchers(node), parents)
        for node, parents in _walk(promql_parser.parse(expr), ())
        if isinstance(node, promql_parser.VectorSelector)
    ]


def _walk(node: Any, parents: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    yield node, parents
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for child in (*children, *(getattr(node, "args", None) or ())):
        if child is not None:
            yield from _walk(child, (*parents, node))


def _read_matchers(node: promql_parser.VectorSelector) -> dict[str, str]:
    return {each.name: each.value for each in node.matchers.matchers}

"""The text of families is prometheus_client's, and everything but its numbers is kept."""

import gc
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.exposition import Exposition, Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.families import MAX_ENDS, FamilyRenderer
from sqlalchemy_pool_metrics import PoolDescription, Snapshot
from sqlalchemy_pool_metrics.families import APP_FAMILIES, Family, Series, single
from sqlalchemy_pool_metrics.families import FAMILIES as POOL_FAMILIES
from sqlalchemy_pool_metrics.layout import ADDITIVE_SLOTS
from sqlalchemy_pool_metrics.prometheus import build_metric

Source: TypeAlias = Mapping[str, Series]

FAMILIES: Sequence[Family[Source]] = (
    Family("shop_up", "gauge", 'A "gauge" \\ of\ntwo lines 0.0', lambda source: source["gauge"]),
    Family("shop_sales", "counter", "A counter.", lambda source: source["counter"], ("kind", "by")),
    Family(
        "shop_wait", "histogram", "A histogram.", lambda s: s["histogram"], ("kind",), (0.5, 1e6)
    ),
)
FORMATS = (
    "",
    "text/plain;version=0.0.4",
    *(f"text/plain;version=1.0.0;escaping={each}" for each in ("allow-utf-8", "dots", "values")),
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
)

texts = st.text(alphabet='ab 0.\\"\n{}=,\x0b\u2028\xe9', max_size=6) | st.text(
    st.characters(codec="utf-8"), max_size=3
)
# prometheus_client tells negative zero from zero, the exporter does not.
numbers = st.one_of(
    st.floats().filter(lambda number: math.copysign(1, number) > 0 or number != 0),
    st.integers(min_value=0, max_value=1 << 64),
    st.sampled_from([0.1, 999_999, 1_000_000, 123_456_789.5, 5e-324, True, False]),
)


def several(labels: int, numbers_of_each: int) -> st.SearchStrategy[Series]:
    """Series with so many labels of their own and so many numbers each."""
    names = st.tuples(*[texts] * labels)
    lists = st.lists(numbers, min_size=numbers_of_each, max_size=numbers_of_each)
    found = st.dictionaries(names, lists, max_size=3)
    return found.map(lambda each: (list(each), [n for some in each.values() for n in some]))


sources = st.fixed_dictionaries(
    {
        "gauge": (st.none() | numbers).map(single),
        "counter": several(labels=2, numbers_of_each=1),
        "histogram": several(labels=1, numbers_of_each=5),
    }
)
databases = st.dictionaries(st.tuples(texts, st.sampled_from(["", "core"])), sources, max_size=3)


def label(found: Mapping[tuple[str, str], Source]) -> list[tuple[dict[str, str], Source]]:
    return [({"database": name, "team": team}, source) for (name, team), source in found.items()]


def build_source(**series: Series) -> Source:
    return {"gauge": ((), ()), "counter": ((), ()), "histogram": ((), ()), **series}


def advance(source: Source) -> Source:
    """The same series with other numbers."""
    return {name: (own, [number + 1 for number in read]) for name, (own, read) in source.items()}


def check(
    renderer: FamilyRenderer[Any],
    families: Sequence[Family[Any]],
    exposition: Exposition,
    labelled: Sequence[tuple[Mapping[str, str], Any]],
) -> None:
    expected = exposition.render(build_metric(each, labelled) for each in families)
    assert b"".join(renderer.render(Scrape(exposition), labelled)) == expected.encode()


@given(st.lists(st.tuples(st.sampled_from(FORMATS), databases), min_size=1, max_size=3))
def test_the_text_is_prometheus_clients_scrape_after_scrape(
    scrapes: list[tuple[str, dict[tuple[str, str], Source]]],
) -> None:
    renderer = FamilyRenderer(FAMILIES, of_values=True)
    for accept, found in scrapes:
        later = {labels: advance(source) for labels, source in found.items()}
        for labelled in (label(found), label(found), label(later)):
            check(renderer, FAMILIES, choose_exposition(accept), labelled)


counts = st.integers(0, 3) | st.integers(0, 1 << 62)
snapshots = st.builds(
    Snapshot,
    pool=st.builds(
        PoolDescription,
        size=st.none() | counts,
        max_connections=st.none() | counts,
        waits=st.booleans(),
    ),
    processes=st.integers(0, 2),
    additive=st.lists(counts, min_size=1, max_size=9).map(
        lambda some: tuple(islice(cycle(some), ADDITIVE_SLOTS))
    ),
    running_checked_out_ns=counts,
    oldest_checkout_ns=counts,
    overflow=st.none() | counts,
)


@given(st.lists(st.dictionaries(texts, snapshots, max_size=3), min_size=1, max_size=3))
def test_pools_look_as_prometheus_client_prints_them(scrapes: list[dict[str, Snapshot]]) -> None:
    families = (*POOL_FAMILIES, *APP_FAMILIES)
    renderer = FamilyRenderer(families, of_values=True)
    for found in scrapes:
        labelled = [({"origin": "app", "pool": name}, pool) for name, pool in found.items()]
        check(renderer, families, choose_exposition(""), labelled)


class CountedExposition:
    """Counts how often prometheus_client is asked to render."""

    def __init__(self) -> None:
        self.times = 0
        self.exposition = Exposition("text/plain", self._encode, end="")

    def _encode(self, families: Collector) -> bytes:
        self.times += 1
        return generate_latest(families)


def test_only_numbers_are_new_until_a_source_or_a_series_comes() -> None:
    counted, renderer = CountedExposition(), FamilyRenderer(FAMILIES)

    def render(*found: Source) -> int:
        """How often that asks prometheus_client."""
        before = counted.times
        labelled = [({"database": str(number)}, source) for number, source in enumerate(found)]
        renderer.render(Scrape(counted.exposition), labelled)
        return counted.times - before

    shop = build_source(gauge=single(1), counter=([("a", "b")], [1]))
    assert render(shop) > 0
    assert render({**shop, "gauge": single(2)}) == 0
    assert render({**shop, "counter": ([("a", "c")], [1])}) == 1
    assert render(shop, shop) == 1 + len(FAMILIES)
    assert render(shop, {**shop, "gauge": single(3)}) == 0


@pytest.mark.parametrize(("of_values", "reads"), [(True, 3), (False, 4)])
def test_sources_that_are_values_are_read_when_they_have_changed(
    of_values: bool, reads: int
) -> None:
    read: list[int] = []

    def count(source: int) -> Series:
        read.append(source)
        return single(source)

    family = Family("shop_up", "gauge", "A gauge.", count)
    renderer = FamilyRenderer([family], of_values=of_values)
    for team, number in (("core", 1), ("core", 1), ("core", 2), ("web", 2)):
        labelled = [({"team": team}, number)]
        check(renderer, [replace(family, read=single)], choose_exposition(""), labelled)
    assert len(read) == reads


def test_a_source_that_is_gone_is_forgotten() -> None:
    class Name(str):
        """Text whose life can be watched."""

    renderer = FamilyRenderer(FAMILIES)
    scrape = Scrape(choose_exposition(""))
    name = Name("shop")
    renderer.render(scrape, [({"database": name}, build_source(gauge=single(1)))])
    life = weakref.ref(name)
    del name
    gc.collect()
    assert life() is not None
    renderer.render(scrape, [])
    gc.collect()
    assert life() is None


def test_numbers_that_are_gone_are_forgotten() -> None:
    renderer = FamilyRenderer(FAMILIES)
    scrape = Scrape(choose_exposition(""))
    for number in range(3 * MAX_ENDS):
        renderer.render(scrape, [({}, build_source(gauge=single(number)))])
    assert len(renderer._ends) <= 2 * MAX_ENDS + 1


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["shop_up"], ["shop_up"]),
        (["shop_sales"], ["shop_sales"]),
        (["shop_sales_total", "nonsense"], ["shop_sales"]),
        (["shop_wait_bucket"], ["shop_wait"]),
        (["shop_wait_sum", "shop_up"], ["shop_up", "shop_wait"]),
        (["nonsense"], []),
    ],
)
def test_only_families_requested_by_name_are_rendered(names: list[str], shown: list[str]) -> None:
    renderer = FamilyRenderer(FAMILIES)
    rendered = renderer.render(Scrape(choose_exposition(""), frozenset(names)), [])
    types = [line for line in b"".join(rendered).decode().splitlines() if line.startswith("# TYPE")]
    assert [line.split()[2].removesuffix("_total") for line in types] == shown

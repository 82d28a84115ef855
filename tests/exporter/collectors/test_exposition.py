"""The two formats and who gets which."""

import gzip
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.exposition import choose_exposition, compress

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class Requests(Collector):
    """One counter."""

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily("requests", "Requests.", labels=["path"])
        family.add_metric(["/"], 3)
        yield family


@pytest.mark.parametrize(
    "accept",
    [PROMETHEUS_2, PROMETHEUS_3, OPENMETRICS, f"text/plain;q=0.5,{OPENMETRICS};version=1.0.0"],
)
def test_openmetrics_for_who_prefers_it(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.content_type.startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    assert exposition.render(Requests()) == (
        b'# HELP requests Requests.\n# TYPE requests counter\nrequests_total{path="/"} 3.0\n# EOF\n'
    )


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
        "text/plain",
        f"{OPENMETRICS};q=0.1,text/plain;version=0.0.4;q=0.9",
        f"{OPENMETRICS};q=0",
        f"{OPENMETRICS};version=0.0.1",
        f"{OPENMETRICS};version=2.0.0",
        f"{OPENMETRICS};version=nonsense",
        "application/json",
    ],
)
def test_text_for_everybody_else(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert exposition.render(Requests()) == (
        b"# HELP requests_total Requests.\n# TYPE requests_total counter\n"
        b'requests_total{path="/"} 3.0\n'
    )


def test_newer_text_format_is_labelled_as_what_it_is() -> None:
    exposition = choose_exposition("text/plain;version=1.0.0;escaping=underscores")
    assert exposition.content_type.startswith("text/plain; version=")
    assert b'requests_total{path="/"} 3.0\n' in exposition.render(Requests())


@given(st.text(alphabet=f"{OPENMETRICS};version=1.0,q", max_size=60) | st.text())
def test_any_accept_header_gets_a_format(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.render(Requests())
    assert exposition.content_type.startswith(("text/plain; version=", f"{OPENMETRICS}; version=1"))


def test_compressed_body_is_the_same_body_and_the_same_every_time() -> None:
    body = b"sqlalchemy_pool_size 1.0\n" * 100
    assert gzip.decompress(compress(body)) == body
    assert compress(body) == compress(body)
    assert len(compress(body)) < len(body) / 10

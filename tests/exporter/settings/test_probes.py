from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sqlalchemy_pool_exporter.settings import ProbeSettings


def read_times(**keys: Any) -> tuple[float, float, float]:
    probe = ProbeSettings.model_validate(keys)
    return probe.interval, probe.timeout, probe.fresh_connection_interval


@pytest.mark.parametrize(
    ("keys", "times"),
    [
        ({}, (15, 5, 60)),
        ({"interval": "2s"}, (2, 2, 60)),
        ({"interval": "5m"}, (300, 5, 300)),
        ({"timeout": "30s"}, (30, 30, 60)),
        ({"timeout": "2m"}, (120, 120, 120)),
        ({"interval": 10, "timeout": 10, "fresh_connection_interval": 10}, (10, 10, 10)),
    ],
)
def test_defaults_adapt_to_given_values(
    keys: dict[str, Any], times: tuple[float, float, float]
) -> None:
    assert read_times(**keys) == times


def test_a_probe_must_end_before_the_next_one() -> None:
    with pytest.raises(ValidationError, match=r"at most the interval, 10s"):
        read_times(interval="10s", timeout="11s")


def test_fresh_connections_may_not_be_more_frequent_than_probes() -> None:
    with pytest.raises(ValidationError, match=r"at least the interval, 10s"):
        read_times(interval="10s", fresh_connection_interval="9s")


def test_an_invalid_interval_is_the_only_error() -> None:
    with pytest.raises(ValidationError) as caught:
        read_times(interval="often", timeout="1m", fresh_connection_interval="1s")
    assert [error["loc"] for error in caught.value.errors()] == [("interval",)]


@pytest.mark.parametrize("keys", [{"query": ""}, {"interval": 0}, {"timeout": "0s"}, {"other": 1}])
def test_an_invalid_value_is_an_error(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_times(**keys)


def test_a_value_in_place_of_the_mapping_is_an_error() -> None:
    with pytest.raises(ValidationError):
        ProbeSettings.model_validate("15s")

from __future__ import annotations

from sqlalchemy_pool_exporter.probes.check import DurationHistogram


def test_a_duration_at_the_end_of_a_bucket_belongs_to_it() -> None:
    histogram = DurationHistogram(bounds=(0.1, 1.0))
    histogram.observe(0.1)
    histogram.observe(0.2)
    assert histogram.counts == [1, 1, 0]


def test_durations_above_every_bucket_are_counted_last() -> None:
    histogram = DurationHistogram(bounds=(0.1, 1.0))
    histogram.observe(7)
    assert histogram.counts == [0, 0, 1]
    assert repr(histogram) == "<DurationHistogram count=1 sum=7.000000>"


def test_the_buckets_are_those_of_opening_a_connection() -> None:
    histogram = DurationHistogram()
    assert (histogram.bounds[0], histogram.bounds[-1]) == (0.001, 30.0)
    assert len(histogram.counts) == len(histogram.bounds) + 1

"""A token bucket, with a clock of the test's."""

from sqlalchemy_pool_exporter.web.middleware import TokenBucket
from sqlalchemy_pool_exporter.web_config import RateLimit


def build_bucket(now: list[float], **limit: object) -> TokenBucket:
    return TokenBucket(RateLimit.model_validate(limit), lambda: now[0])


def test_without_an_interval_everything_may_happen() -> None:
    bucket = build_bucket([0.0])
    assert all(bucket.take() for _ in range(1000))


def test_a_burst_may_happen_at_once_and_then_one_each_interval() -> None:
    now = [0.0]
    bucket = build_bucket(now, interval="2s", burst=3)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 1.9
    assert not bucket.take()
    now[0] = 2.0
    assert [bucket.take(), bucket.take()] == [True, False]


def test_tokens_beyond_the_burst_are_lost() -> None:
    now = [0.0]
    bucket = build_bucket(now, interval="1s", burst=2)
    now[0] = 3600.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]

"""A Dagster job."""

from dagster import Definitions, job, op


@op
def two() -> int:
    return 2


@op
def double(number: int) -> int:
    return 2 * number


@job
def double_twice() -> None:
    double(double(two()))


definitions = Definitions(jobs=[double_twice])

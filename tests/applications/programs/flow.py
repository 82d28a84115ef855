"""A Prefect flow, run against a server."""

from prefect import flow, task


@task
def add(left: int, right: int) -> int:
    return left + right


@flow
def add_all(count: int) -> int:
    return sum(add(number, 1) for number in range(count))


if __name__ == "__main__":
    print(add_all(10))

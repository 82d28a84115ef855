"""An Airflow DAG."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(start_date=datetime(2026, 1, 1), schedule=None)
def double():
    @task
    def two():
        return 2

    @task
    def twice(number):
        return 2 * number

    twice(two())


double()

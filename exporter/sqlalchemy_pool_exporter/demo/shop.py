"""The demo's application: a shop in WSGI, which stands for a team's own program.

All that it does for its metrics is to call `instrument` twice. Its functions show as holders.
"""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_pool_metrics import instrument

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Three connections to PostgreSQL in each worker: enough for the visitors, not for the rush.
POOL_SIZE: Final = 2
MAX_OVERFLOW: Final = 1
POOL_TIMEOUT_SECONDS: Final = 1.0

READ_ORDERS: Final = text("SELECT pg_sleep(:seconds)")
READ_ARTICLES: Final = text("SELECT count(*) FROM articles")


def build_app() -> Application:
    """Return the application, for the databases whose URLs are in the environment."""
    orders = create_engine(
        make_url(os.environ["ORDERS_URL"]).set(drivername="postgresql+psycopg"),
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_SECONDS,
    )
    articles = create_engine(os.environ["ARTICLES_URL"])
    instrument(orders, name="orders")
    instrument(articles, name="articles")

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _, page, seconds = environ["PATH_INFO"].split("/")
        try:
            if page == "orders":
                read_orders(orders, float(seconds))
            elif page == "payments":
                pay(orders, float(seconds))
            else:
                count_articles(articles)
        except SQLAlchemyError:  # the metrics count it
            start_response("503 Service Unavailable", [])
        else:
            start_response("200 OK", [])
        return []

    return answer


def read_orders(engine: Engine, seconds: float) -> None:
    """Execute a query that takes so long."""
    with engine.connect() as connection:
        connection.execute(READ_ORDERS, {"seconds": seconds})


def pay(engine: Engine, seconds: float) -> None:
    """Keep a connection while another service takes so long: the mistake that the demo shows."""
    with engine.connect() as connection:
        connection.execute(READ_ORDERS, {"seconds": 0})
        time.sleep(seconds)


def count_articles(engine: Engine) -> None:
    """Execute a short query."""
    with engine.connect() as connection:
        connection.execute(READ_ARTICLES)

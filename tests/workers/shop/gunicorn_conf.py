"""gunicorn's settings for workers that inherit a used engine."""

from __future__ import annotations

import os
import sys

if os.environ.get("SHOP_GEVENT"):
    from gevent import monkey  # type: ignore[import-untyped]

    monkey.patch_all()


def post_fork(_server: object, _worker: object) -> None:
    if sales := sys.modules.get("tests.workers.shop.sales"):  # else it is loaded later
        sales.begin_worker()

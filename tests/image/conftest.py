"""The image that was built before, by `make image-test`."""

from __future__ import annotations

import os

import pytest

VARIABLE = "POOL_EXPORTER_TEST_IMAGE"


@pytest.fixture(scope="session")
def image() -> str:
    """Its name."""
    name = os.environ.get(VARIABLE)
    if not name:
        pytest.skip(f"{VARIABLE} names no image; `make image-test` builds one and tests it")
    return name

"""The image that `make image-test` has built."""

from __future__ import annotations

import os

import pytest

VARIABLE = "POOL_EXPORTER_TEST_IMAGE"


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image."""
    name = os.environ.get(VARIABLE)
    if not name:
        pytest.skip(f"{VARIABLE} names no image; `make image-test` builds one and tests it")
    return name

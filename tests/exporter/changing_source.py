"""Settings that a test changes between two reloads, and what an app with them shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.reload import POLL_SECONDS, Reloader
from sqlalchemy_pool_exporter.settings import Settings, load_bootstrap
from sqlalchemy_pool_exporter.settings.messages import describe_validation_error
from sqlalchemy_pool_exporter.web.app import create_app
from tests.exporter.web.clients import Databases

RELOAD = "/-/reload"
SUCCESSFUL = "sqlalchemy_pool_exporter_config_last_reload_successful"


class ChangingSource:
    """A source of settings that a test changes between two reloads; they are in no file."""

    def __init__(self, databases: Databases, **keys: Any) -> None:
        self.keys: dict[str, Any] = {"probe": {"interval": "1h", "timeout": "20s"}, **keys}
        self.databases = dict(databases)

    def load(self) -> Settings:
        data = {"databases": self.databases, "web": {"enable_lifecycle": True}, **self.keys}
        data.setdefault("app", {"dir": "/nonexistent"})
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            raise describe_validation_error(error, {}) from None

    def load_without_databases(self) -> Settings:
        """Like `load`, without the databases, which are invalid in these tests."""
        databases, self.databases = self.databases, {}
        try:
            return self.load()
        finally:
            self.databases = databases

    def list_files(self) -> list[Path]:
        return []

    def build_app(self, poll_seconds: float = POLL_SECONDS) -> Starlette:
        return create_app(self.load(), self, poll_seconds=poll_seconds)

    def build_waiting_app(self) -> Starlette:
        return create_app(load_bootstrap(None, {}), self, wait_for_config=True)


def read_reloader(app: Starlette) -> Reloader:
    reloader = app.state.reloader
    assert isinstance(reloader, Reloader)
    return reloader


async def read_samples(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """Samples by their name and database; of those with more labels the sum."""
    samples: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for sample in family.samples:
            key = sample.name, sample.labels.get("database", "")
            samples[key] = samples.get(key, 0) + sample.value
    return samples


def pick_database(samples: Mapping[tuple[str, str], float], database: str) -> dict[str, float]:
    return {name: value for (name, each), value in samples.items() if each == database}

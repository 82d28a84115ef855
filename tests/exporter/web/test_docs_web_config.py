"""docs/web-config.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sqlalchemy_pool_exporter.reload import POLL_SECONDS
from sqlalchemy_pool_exporter.server.limits import RESERVED, Limits
from sqlalchemy_pool_exporter.web.middleware import MAX_PENDING
from sqlalchemy_pool_exporter.web_config.schema import HIGHEST_COST, WebConfig

TEXT = (Path(__file__).parents[3] / "docs" / "web-config.md").read_text()
LIMITS = Limits()


def test_limits_are_those_of_the_code() -> None:
    table = dict(re.findall(r"(?m)^\| ([a-zA-Z ]+?) \| (\d[^|]*?) \|", TEXT))
    assert table == {
        "connections that get answers": f"{LIMITS.requests}",
        "connections": f"{LIMITS.connections}, or what the process may open less {RESERVED}",
        "head of a request": f"{LIMITS.head_bytes // 1024} KiB",
        "time for a TLS handshake": f"{LIMITS.handshake_seconds} s",
        "time for a request to arrive": f"{LIMITS.request_seconds} s",
        "time without taking any of an answer": f"{LIMITS.answer_seconds} s",
        "time between requests": f"{LIMITS.idle_seconds} s",
    }


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    assert f"within {POLL_SECONDS:g} s" in TEXT
    assert f"Costs above {HIGHEST_COST} are refused" in TEXT
    assert f"more than {MAX_PENDING} waiting guesses" in TEXT


def test_the_example_has_only_existing_keys() -> None:
    example = re.findall(r"(?ms)^```yaml\n(.*?)^```", TEXT)[0]
    content = yaml.safe_load(example)
    del content["basic_auth_users"]  # the hash is left out
    assert WebConfig.model_validate(content).tls_server_config.is_enabled

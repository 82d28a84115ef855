"""Any configuration either works or is refused with a line for each mistake."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.check import check_config, load_checked_settings
from sqlalchemy_pool_exporter.databases import EnginesError
from sqlalchemy_pool_exporter.settings import Settings, SettingsErrors
from sqlalchemy_pool_exporter.web.app import create_app
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy
from tests.fuzz.configs import CANARY, HASH, texts, variables, web_texts
from tests.fuzz.extent import fail_when_it_hangs, fuzz
from tests.servers.tls import write_certificates


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that configurations name, and the fuzzed one."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "files").mkdir()
    for name, content in {"url": f"postgresql://app:{CANARY}@127.0.0.1:1/x", "empty": ""}.items():
        (folder / "files" / name).write_text(content)
    (folder / "files" / "password").write_text(CANARY)
    certificates = write_certificates(folder)
    (folder / "server.crt").write_bytes(certificates.certificate.read_bytes())
    (folder / "server.key").write_bytes(certificates.key.read_bytes())
    return folder


@pytest.fixture(autouse=True)
def enter_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def check(file: Path | None, environ: Mapping[str, str], *, syntax_only: bool) -> int:
    """Return the status of check-config, whose lines show no secret."""
    output = io.StringIO()
    status = check_config(file, environ, output, syntax_only=syntax_only)
    text = output.getvalue()
    assert CANARY not in text
    assert text.endswith("\n")
    assert text.startswith("configuration is valid: ") == (status == 0)
    assert status == 0 or all(", expected " in line for line in text.splitlines())
    return status


def build(settings: Settings) -> Starlette | None:
    try:
        app = create_app(settings)
        asyncio.run(app.state.service.build_databases())
        app.state.service.end_start()
    except (EnginesError, SettingsErrors) as error:
        text = str(error)
    else:
        return app
    assert CANARY not in text
    return None


async def read_pages(app: Starlette) -> str:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        answers = [await client.get(path) for path in ("/metrics", "/")]
    assert [answer.status_code for answer in answers] == [200, 200]
    return "".join(answer.text for answer in answers)


def use(settings: Settings) -> None:
    """Use the settings for everything except a connection to a database."""
    event("is accepted")
    assert CANARY not in repr(settings)
    app = build(settings)
    if app is not None:
        event("works")
        assert CANARY not in asyncio.run(read_pages(app))


def try_out(file: Path | None, environ: Mapping[str, str]) -> None:
    with fail_when_it_hangs():
        check(file, environ, syntax_only=True)
        if check(file, environ, syntax_only=False) == 0:
            use(load_checked_settings(file, environ))


@fuzz()
@given(text=texts())
def test_any_file_is_valid_or_has_mistakes(text: bytes) -> None:
    file = Path("exporter.yaml")
    file.write_bytes(text)
    try_out(file, {})


@fuzz(0.3)
@given(variables())
def test_any_environment_is_valid_or_has_mistakes(environ: dict[str, str]) -> None:
    try_out(None, environ)


@fuzz(0.3)
@given(text=texts(), environ=variables())
def test_file_and_environment_together_are_valid_or_have_mistakes(
    text: bytes, environ: dict[str, str]
) -> None:
    file = Path("exporter.yaml")
    file.write_bytes(text)
    try_out(file, environ)


@fuzz(0.4)
@given(text=web_texts())
def test_any_web_configuration_is_valid_or_has_mistakes(text: bytes) -> None:
    file = Path("web.yml")
    file.write_bytes(text)
    with fail_when_it_hangs():
        try:
            policy = WebPolicy(file)
            said = f"{policy!r} {policy.config!r}"
            event("is accepted")
        except SettingsErrors as errors:
            said = str(errors)
    assert CANARY not in said
    assert HASH not in said


@fuzz(0.1)
@given(
    name=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1),
    content=st.binary(),
)
def test_any_secrets_directory_is_valid_or_has_mistakes(
    folder: Path, name: str, content: bytes
) -> None:
    directory = folder / "secrets"
    directory.mkdir(exist_ok=True)
    try:
        file = directory / f"POOL_EXPORTER_{name}"[:80]
        file.write_bytes(content)
        try_out(None, {"POOL_EXPORTER_SECRETS_DIR": str(directory)})
    finally:
        file.unlink()

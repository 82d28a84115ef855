"""Each mistake in a configuration gets a line that names it and shows no secret.

Each file of tests/data/bad_config starts with how the expected lines begin, after `# expect: `.
"""

import io
import re
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.check import check_config
from tests.exporter.commands import run_command

FOLDER = Path(__file__).parents[1] / "data" / "bad_config"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
CANARY = re.compile("quet|zal", re.IGNORECASE)
SOME = ("databases_list_of_urls", "yaml_binary", "several_mistakes", "url_password_with_slash")


def read_expected(name: str) -> list[str]:
    content = (FOLDER / f"{name}.yaml").read_bytes()
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_utf_16 else "utf-8", errors="replace")
    return re.findall(r"(?m)^# expect: (.*)$", text)


@pytest.fixture(autouse=True)
def enter_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_reported_with_key_value_and_expectation(name: str) -> None:
    output = io.StringIO()
    status = check_config(Path(f"{name}.yaml"), {}, output)
    lines = output.getvalue().splitlines()
    pairs = list(zip(lines, read_expected(name), strict=True))
    assert [pair for pair in pairs if not pair[0].startswith(pair[1])] == []
    assert status == 1
    assert all(", expected " in line and len(line) < 320 for line in lines)
    assert not CANARY.search(output.getvalue())


@pytest.mark.parametrize("name", SOME)
def test_serving_reports_what_check_config_reports(name: str) -> None:
    checked = run_command("check-config", f"{name}.yaml")
    assert (checked.returncode, checked.stderr) == (1, "")
    for line, expected in zip(checked.stdout.splitlines(), read_expected(name), strict=True):
        assert line.startswith(expected)
    served = run_command("serve", "--config", f"{name}.yaml")
    assert served.returncode == 1
    assert not CANARY.search(served.stderr)
    assert "Traceback" not in served.stderr


def test_every_file_has_an_expectation() -> None:
    assert [name for name in NAMES if not read_expected(name)] == []

"""Every mistake that a person makes in a configuration has its line, which shows no secret.

Each file of tests/data/bad_config begins with the lines that are expected, after `# expect: `.
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
SOME = ("databases_list", "yaml_binary", "yaml_tab", "several_mistakes", "url_password_with_slash")


def read_expected(name: str) -> list[str]:
    content = (FOLDER / f"{name}.yaml").read_bytes()
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_utf_16 else "utf-8", errors="replace")
    return re.findall(r"(?m)^# expect: (.*)$", text)


@pytest.fixture(autouse=True)
def enter_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_told_where_it_is_with_what_was_expected(name: str) -> None:
    output = io.StringIO()
    status = check_config(Path(f"{name}.yaml"), {}, output)
    lines = output.getvalue().splitlines()
    assert lines == read_expected(name)
    assert status == 1
    assert all(", expected " in line and len(line) < 320 for line in lines)
    assert not CANARY.search(output.getvalue())


@pytest.mark.parametrize("name", SOME)
def test_the_commands_say_the_same(name: str) -> None:
    checked = run_command("check-config", f"{name}.yaml")
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout.splitlines() == read_expected(name)
    served = run_command("serve", "--config", f"{name}.yaml")
    assert served.returncode == 1
    assert not CANARY.search(served.stderr)
    assert "Traceback" not in served.stderr


def test_every_file_says_what_is_expected_of_it() -> None:
    assert len(NAMES) > 300
    assert [name for name in NAMES if not read_expected(name)] == []

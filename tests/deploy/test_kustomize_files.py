"""deploy/kustomize is up to date with the chart's templates; `make generated` writes it."""

from __future__ import annotations

import pytest

pytest.importorskip("helm_python", reason="there is no Helm for this platform")

from deploy.component import FOLDER, render_files


@pytest.mark.parametrize("name", render_files())
def test_the_file_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text().splitlines() == render_files()[name].splitlines()


def test_there_are_no_other_files() -> None:
    files = {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()}
    assert files == set(render_files())

"""Pictures as files, and the moment that they mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from grafana.pictures.picture import Picture
from tests.grafana.pictures.samples import build_answer, build_panel, repeat

BOX = (0.0, 0.0, 1.0, 300.0)


def test_the_file_keeps_every_colour(tmp_path: Path) -> None:
    names = [f"series {number}" for number in range(12)]
    answer = build_answer({name: repeat(10.0 + number) for number, name in enumerate(names)})
    picture = Picture()
    picture.put(build_panel(), answer, BOX)
    canvas: Any = FigureCanvasAgg(picture.draw())
    canvas.draw()
    picture.save(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as saved:
        assert (np.asarray(saved) == np.asarray(canvas.buffer_rgba())[:, :, :3]).all()


def test_graphs_beside_tiles_are_marked_with_the_moment_of_the_tiles() -> None:
    assert read_marks("stat") == ["tiles: 1:20"]
    assert read_marks("timeseries") == []


def read_marks(kind: str) -> list[str]:
    """Return the marks of a graph beside a panel of that type."""
    answer, picture = build_answer({"": repeat(1)}), Picture()
    picture.put(build_panel(), answer, (0, 0, 0.5, 300))
    picture.put(build_panel(kind, thresholds={"steps": []}), answer, (0.5, 0, 0.5, 300))
    [axes, *_] = picture.draw().axes
    return [text.get_text() for text in axes.texts]

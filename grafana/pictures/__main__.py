"""Draw the rows of the dashboards into docs/images from what a real Prometheus answers.

    python -m grafana.pictures [SAVED]

Runs the story of story.py, sends Prometheus the query of each panel, and writes a picture of each
row into docs/images/rows and docs/images/overview.png. With a file SAVED the answers are stored
there, or read from it if it exists, so that the look can be changed without a new run.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

from grafana.pictures.answers import Answers, ask_everything
from grafana.pictures.layout import DASHBOARDS, choose_panels, compose_choice, compose_rows
from grafana.pictures.story import run_story
from grafana.pictures.style import TEXT

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main(saved: Path | None) -> None:
    """Draw all pictures; `saved` is a file for the answers."""
    # Before the story runs for minutes: fails if a chosen panel has another title now.
    chosen = choose_panels()
    answers = load_answers(saved)
    mpl.rcParams |= {"font.family": "DejaVu Sans", "text.color": TEXT}
    (IMAGES / "rows").mkdir(exist_ok=True)
    for name, picture in compose_rows(answers):
        picture.save(IMAGES / "rows" / name)
    compose_choice(chosen, answers).save(IMAGES / "overview.png")


def load_answers(saved: Path | None) -> Answers:
    """Return the answers from the file `saved`, or from a new run that is stored there."""
    if saved and saved.exists():
        loaded: Answers = pickle.loads(saved.read_bytes())  # noqa: S301 - our own
        return loaded
    with tempfile.TemporaryDirectory() as name:
        # PostgreSQL runs as another user.
        Path(name).chmod(0o755)
        with run_story(Path(name)) as story:
            answers = ask_everything(story, DASHBOARDS)
    if saved:
        saved.write_bytes(pickle.dumps(answers))
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)

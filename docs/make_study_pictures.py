"""Draws docs/images/study-*.png: the listening test's page, and a report's bars.

PYTHONPATH=tests/support:benchmarks .venv/bin/python docs/make_study_pictures.py

Needs Chromium and what tests need. Clips and music are the demo's; the bars are of simulated
listeners, who are declared as such: nobody has heard anything.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from study_listeners import Crowd, paper_key, paper_study, simulated

from mgsv.demo import demo_clip, demo_music, demo_shots
from mgsv.study.create import create_study
from mgsv.study.options import StudyOptions
from mgsv.study.report import report_sessions
from mgsv.study.report_files import bars_picture
from page_support import StudioPage, chromium
from studio_support import running

IMAGES = Path(__file__).parent / "images"
COLOURS = 200
WIDTHS = (("", {"width": 1100, "height": 900}), ("-narrow", {"width": 360, "height": 780}))


def main() -> None:
    study = paper_study(clips=20, systems=3)
    sessions = simulated(study, Crowd((0.8, 0.0, -0.4)), range(30), seed=0)
    report = report_sessions(sessions, paper_key(study))
    (IMAGES / "study-bars.png").write_bytes(bars_picture(report, "png"))
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        folder = Path(place)
        music = sorted(path for path in demo_music()[0].rglob("*.opus"))[::9]
        options = StudyOptions(systems=("sync", "made"), trials=3, checks=0)
        clips = [demo_clip(), demo_shots()[-1]]
        create_study(clips, music, folder / "study", options, library=folder / "library")
        with running(folder / "served", "--study", folder / "study") as served:
            for suffix, viewport in WIDTHS:
                for scheme in ("light", "dark"):
                    person = StudioPage(browser, served.url, viewport=viewport, color_scheme=scheme)
                    states(person.page, f"{suffix}{'-dark' * (scheme == 'dark')}")
                    person.close()


def states(page: Any, suffix: str) -> None:
    """The start, and a pair of which both were heard; of the dark page, the pair alone."""
    page.wait_for_selector("#begin:not([hidden])")
    if "dark" not in suffix:
        shoot(page, f"begin{suffix}")
    page.click("#start")
    page.click("#go")
    page.wait_for_selector("#play:not([disabled])")
    for side in ("a", "b"):
        page.keyboard.press(side)
        while page.evaluate(f"study.sounds.listened.{side} < study.trial.least"):
            page.wait_for_timeout(200)
    page.keyboard.press("Space")
    page.keyboard.press("4")
    page.wait_for_timeout(500)
    shoot(page, f"pair{suffix}")


def shoot(page: Any, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    picture.quantize(COLOURS).save(IMAGES / f"study-{name}.png", optimize=True)


if __name__ == "__main__":
    main()

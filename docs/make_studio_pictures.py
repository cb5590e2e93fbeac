"""Draws docs/images/studio-*.png: the studio's page in each state, in two widths.

PYTHONPATH=tests/support .venv/bin/python docs/make_studio_pictures.py

Needs Chromium and what tests need. Clips and music are the demo's.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from mgsv.demo import demo_clip, demo_music, demo_shots, demo_song, make_edit
from page_support import StudioPage, chromium
from studio_support import running

IMAGES = Path(__file__).parent / "images"
COLOURS = 200
WIDE, NARROW = {"width": 1600, "height": 1000}, {"width": 360, "height": 780}


def main() -> None:
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        folder = Path(place)
        edit = make_edit(folder / "edit.mp4", demo_song(), demo_shots())
        music = [word for one in demo_music() for word in ("--music", str(one))]
        more = ["--library", str(folder / "library"), "--clips", str(demo_clip().parent)]
        with running(folder / "studio", *music, *more) as studio:
            first = StudioPage(browser, studio.url, viewport=WIDE)
            shoot(first.page, "empty")
            first.page.wait_for_function(
                "() => document.getElementById('library').innerText.endsWith('tracks')",
                timeout=300_000,
            )
            for width, name in ((WIDE, ""), (NARROW, "-narrow")):
                for scheme in ("light", "dark"):
                    person = StudioPage(browser, studio.url, viewport=width, color_scheme=scheme)
                    states(person, folder / "edit.mp4", f"{name}{'-dark' * (scheme == 'dark')}")
                    person.close()
    print(f"{edit.cuts} cuts; pictures in {IMAGES}")


def states(person: StudioPage, clip: Path, suffix: str) -> None:
    """What a person sees from a dropped clip to its file; of the dark page, one state."""
    page = person.page
    person.drop(clip, demo_clip())
    person.candidates()
    page.wait_for_selector(".job", state="detached", timeout=120_000)
    page.wait_for_function("() => document.getElementById('strip').naturalWidth > 0")
    shoot(page, f"candidates{suffix}", full=True)
    if "dark" in suffix:
        return
    page.locator("#cards [role=option]").nth(1).click()
    person.drag("#region", 3.0)
    page.wait_for_timeout(500)
    page.click("#render")
    page.wait_for_selector("#made li", timeout=120_000)
    page.click("#explain")
    page.wait_for_selector("#explanation:not([hidden])", timeout=120_000)
    page.wait_for_timeout(500)
    shoot(page, f"moved{suffix}", full=True)
    if not suffix:
        page.click("#help")
        shoot(page, "keys")
        page.keyboard.press("Escape")
        person.drop(Path(__file__))
        person.problems()
        shoot(page, "problem")


def shoot(page: Any, name: str, *, full: bool = False) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full))).convert("RGB")
    picture.quantize(COLOURS).save(IMAGES / f"studio-{name}.png", optimize=True)


if __name__ == "__main__":
    main()

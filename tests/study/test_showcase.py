"""The static page: whole by itself, names escaped, and played in a browser from the disk."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study_listeners import paper_key

from mgsv.study import showcase
from mgsv.study.create import Created
from mgsv.study.showcase import showcase_page, write_showcase
from page_support import chromium
from study_support import OPTIONS, heard_study


class Links(HTMLParser):
    """What a page refers to, and the elements that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A showcase of a study that is there already: no system is asked here."""
    base = tmp_path_factory.mktemp("showcase")
    study = heard_study(base / "study")
    key = paper_key(study)

    def copied(clips, music, output, options, **more) -> Created:
        shutil.copytree(study.folder, output)
        return Created(output, key, 0, (), ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showcase, "create_study", copied)
        write_showcase(["clips"], ["music"], base / "page", replace(OPTIONS, systems=key.systems))
    return base / "page"


@pytest.mark.slow
def test_the_folder_is_whole_by_itself(page: Path) -> None:
    links = Links((page / "index.html").read_text())
    assert all((page / one).is_file() for one in links.found)
    assert links.tags.count("video") == 2 and links.tags.count("audio") == 4
    assert {path.name for path in page.iterdir()} == {
        *("index.html", "media", "showcase.css", "showcase.js")
    }
    for name in ("index.html", "showcase.css", "showcase.js"):
        assert not re.search(r"https?://|//[a-z]+\.", (page / name).read_text())


def test_names_are_escaped() -> None:
    from study_listeners import paper_study

    study = paper_study(clips=1, systems=2)
    key = paper_key(study)
    nasty = "<script>alert(1)</script>\"'&\n\udcff.mp4"
    (id, clip), *_ = key.clips.items()
    variants = {n: replace(v, track=f"/home/me/{nasty}") for n, v in clip.variants.items()}
    clips = {id: replace(clip, path=f"/home/me/{nasty}", variants=variants)}
    made = Created(Path(), replace(key, clips=clips), 0, (), ())
    text = showcase_page(made, key.systems, nasty)
    links = Links(text)
    assert links.tags.count("script") == 1 and "/home/me" not in text
    text.encode()


@pytest.mark.browser
@pytest.mark.slow
def test_it_plays_from_the_disk(page: Path) -> None:
    with chromium() as browser:
        context = browser.new_context()
        tab = context.new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((page / "index.html").as_uri())
        tab.click("article:nth-of-type(1) li:nth-of-type(1) button")
        tab.wait_for_timeout(600)
        tab.click("article:nth-of-type(1) li:nth-of-type(2) button")
        state = tab.evaluate(
            """() => [...document.querySelectorAll("article:nth-of-type(1) audio")].map(
              (one) => [one.muted, one.paused, one.currentTime])"""
        )
        assert [muted for muted, _, _ in state] == [True, False]
        assert [paused for _, paused, _ in state] == [False, False]
        assert abs(state[0][2] - state[1][2]) < 0.1 < state[1][2]
        tab.click("article:nth-of-type(2) li:nth-of-type(1) button")
        tab.wait_for_timeout(200)
        first = tab.evaluate("document.querySelector('article:nth-of-type(1) video').paused")
        assert first and not errors
        context.close()

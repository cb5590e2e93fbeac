"""The page of many clips."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from mgsv.errors import ConfigError, OutputError
from mgsv.explanation.page import ClipExplained, page_of, write_clips_page
from mgsv.grounding.result import RankedMoment
from synthetic import random_track

TRACK = random_track("song & dance", 40, seed=1).track


class Page(HTMLParser):
    """Links, anchors and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [str(given["href"])] if tag == "a" else []
        self.anchors += [f"#{given['id']}"] if "id" in given else []
        self.words += [str(given["alt"])] if tag == "img" else []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def clips() -> list[ClipExplained]:
    found = RankedMoment(1, TRACK, 2.0, 12.0, 0.5, {})
    return [
        ClipExplained(Path("a<b>.mp4"), found, b"png", ("3 of 5 cuts < beats.",), ("a note",)),
        ClipExplained(Path("bad\n.mp4"), problem="it is no video: <get another>"),
        ClipExplained(Path("c.mp4"), found, b"png", ("It moves.",)),
    ]


def test_every_clip_is_there_and_links_lead_to_its_picture() -> None:
    page = Page(page_of(clips()))
    assert page.links == page.anchors == ["#clip-1", "#clip-3"]
    for words in ("a<b>.mp4", "bad\\n.mp4", "it is no video: <get another>", "a note",
                  "3 of 5 cuts < beats.", TRACK.path.name):  # fmt: skip
        assert words in page.words


def test_it_is_written_once(tmp_path: Path) -> None:
    path = write_clips_page(clips(), tmp_path / "page.html")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="`overwrite`"):
        write_clips_page([], path)
    with pytest.raises(ConfigError, match=r"\.html"):
        write_clips_page(clips(), tmp_path / "page.pdf")
    assert path.read_bytes() == before and [path] == list(tmp_path.iterdir())

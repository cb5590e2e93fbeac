"""The client on the studio's page, run against a studio."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import real_media
from doc_pages import DOCS, blocks
from studio_support import Running


@pytest.mark.slow
def test_the_client_on_the_page(
    studio: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [one for one in blocks(DOCS / "studio.md") if one.language == "python"]
    monkeypatch.chdir(tmp_path)
    shutil.copy(real_media.bikes(), tmp_path / "clip.mp4")
    text = block.text.replace("http://127.0.0.1:8421", studio.url)
    assert text != block.text
    exec(compile(text, block.where, "exec"), {})
    assert (tmp_path / "out.mp4").stat().st_size > 100_000

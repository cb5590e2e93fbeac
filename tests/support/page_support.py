"""A real browser on the studio's page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

_DROP = """([files]) => {
  const carried = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    carried.items.add(new File([bytes], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const what = { dataTransfer: carried, bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(new DragEvent(kind, what));
  }
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing")
    if CHROMIUM is None:
        pytest.skip("chromium is missing: the page is tested in a browser")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class StudioPage:
    """The page, and what a person does there. Notes what goes wrong behind the scenes."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1600, "height": 1100}, **options}
        )
        self.url = url
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page = self.open()

    def open(self) -> Any:
        """Another tab with the page."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._listen)
        page.on("request", self._look)
        # Chromium hands a file chooser over only from some time after the first listener came.
        page.on("filechooser", lambda _: None)
        page.goto(self.url)
        page.wait_for_selector("body.ready")
        return page

    def close(self) -> None:
        self.context.close()

    def drop(self, *files: Path, names: tuple[str, ...] = ()) -> None:
        """Drop files on the page."""
        named = zip(names or [file.name for file in files], files, strict=True)
        self.page.evaluate(
            _DROP, [[[name, base64.b64encode(file.read_bytes()).decode()] for name, file in named]]
        )

    def candidates(self) -> Any:
        """The cards, when they are there."""
        self.page.wait_for_selector("#cards [role=option]", timeout=60_000)
        self.page.wait_for_selector("#track:not(.loading):not([hidden])")
        return self.page.locator("#cards [role=option]")

    def choice(self) -> dict[str, Any]:
        """What is chosen for the clip on the stage, as the server knows it."""
        self.page.wait_for_timeout(150)
        clip = self.page.evaluate("studio.clip.id")
        return self.api(f"/clips/{clip}")["choice"]

    def api(self, path: str) -> Any:
        """The answer to a GET of this browser's."""
        return self.page.request.get(f"{self.url}/api/v1{path}").json()

    def drag(self, what: str, seconds: float, *, keys: str = "") -> None:
        """Drag the moment, or one of its edges, by so much of the track."""
        page = self.page
        box, view = page.locator(what).bounding_box(), page.locator("#detail").bounding_box()
        shown = page.evaluate("studio.waveform.shown")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        if keys:
            page.keyboard.down(keys)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + seconds / shown * view["width"], y, steps=12)
        page.mouse.up()
        if keys:
            page.keyboard.up(keys)

    def problems(self) -> str:
        self.page.wait_for_selector("#problems p")
        return " | ".join(self.page.locator("#problems p").all_inner_texts())

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            self.errors.append(message.text)

    def _look(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(request.url)

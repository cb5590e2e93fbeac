"""The page in a real browser, as people use it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import media_files
import real_media
from mgsv.media.audio import read_audio
from page_support import StudioPage, chromium
from studio_support import Running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IN_STEP = 0.040
"""Seconds by which picture and sound may differ."""
RATE = 16_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def person(browser: Any, studio: Running) -> Iterator[StudioPage]:
    """Somebody with the page before them. Afterwards nothing went wrong behind the scenes, and
    nothing was asked of another server."""
    person = StudioPage(browser, studio.url)
    yield person
    errors, elsewhere = person.errors, person.elsewhere
    person.close()
    assert errors == [] and elsewhere == []


@pytest.fixture
def bikes(person: StudioPage) -> StudioPage:
    """The same, with candidates for a clip."""
    person.drop(real_media.bikes())
    person.candidates()
    return person


def differences(person: StudioPage, count: int = 15) -> list[float]:
    """Seconds between the clocks of sound and picture, every tenth of a second."""
    found = []
    for _ in range(count):
        clocks = person.page.evaluate("studio.player.clocks()")
        assert clocks["playing"]
        found.append(clocks["audio"] - clocks["video"])
        person.page.wait_for_timeout(100)
    return found


def usual_difference(person: StudioPage) -> float:
    """The median: a machine that is busy may stop the picture for a moment."""
    return float(np.median(np.abs(differences(person, 7))))


def test_from_a_dropped_clip_to_a_file_with_the_dragged_moment(
    bikes: StudioPage, tmp_path: Path, record_property: Any
) -> None:
    page = bikes.page
    cards = bikes.candidates()
    assert cards.count() == 10
    track = next(n for n in range(10) if "funky" in cards.nth(n).inner_text())
    cards.nth(track).click()
    before = bikes.choice()
    name = page.inner_text("#track-name")

    page.locator("#stage-title").click()
    page.keyboard.press("Space")
    page.wait_for_timeout(1200)
    off = [abs(one) for one in differences(bikes)]
    record_property("picture and sound differ by at most", f"{1000 * max(off):.0f} ms")
    assert np.median(off) <= IN_STEP, "a busy machine may stop the picture for a moment"
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"

    bikes.drag("#region", 11.3)
    chosen = bikes.choice()
    beats = np.array(bikes.api(f"/tracks/{before['track']}/structure")["beats"])
    wanted = before["start"] + 11.3
    assert chosen["start"] == pytest.approx(beats[np.argmin(abs(beats - wanted))], abs=0.08)
    assert np.min(abs(beats - chosen["start"])) < 1e-6, "on a beat"
    assert chosen["end"] - chosen["start"] == pytest.approx(10.0)
    assert "cuts fall on beats" in page.inner_text("#on-beat")

    page.click("#render")
    with page.expect_download() as download:
        page.click("#made a")
    assert download.value.suggested_filename == "bikes.mgsv.mp4"
    download.value.save_as(tmp_path / "out.mp4")
    path = next(one for one in real_media.long_tracks() if one.name == name)
    heard = read_audio(tmp_path / "out.mp4", RATE).samples[RATE : 6 * RATE]
    music = read_audio(path, RATE).samples
    size = 1 << (len(music) + len(heard)).bit_length()
    spectrum = np.fft.rfft(music, size) * np.conj(np.fft.rfft(heard, size))
    at = np.argmax(np.fft.irfft(spectrum)[: len(music)]) / RATE - 1
    assert at == pytest.approx(chosen["start"], abs=0.005)


def test_in_step_after_changes_of_candidate_and_seeks(bikes: StudioPage) -> None:
    page = bikes.page
    page.locator("#stage-title").click()
    page.keyboard.press("Space")
    page.wait_for_timeout(800)
    for _ in range(3):
        before = page.evaluate("studio.player.position")
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(500)
        after = page.evaluate("studio.player.position")
        assert 0.3 < (after - before) % 10 < 1.5, "it goes on where it was"
        assert usual_difference(bikes) <= IN_STEP
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(900)
    assert usual_difference(bikes) <= IN_STEP


def test_dragging_does_not_rewind_what_is_playing(bikes: StudioPage) -> None:
    page = bikes.page
    page.click("#play")
    page.wait_for_timeout(1500)
    before = page.evaluate("studio.player.position")
    bikes.drag("#region", 5.0)
    after = page.evaluate("studio.player.position")
    assert after > before or after < 2, "it went on, or round"
    assert page.evaluate("studio.player.playing")


def test_shift_holds_the_snapping_off(bikes: StudioPage) -> None:
    before = bikes.choice()
    bikes.drag("#region", 7.77, keys="Shift")
    after = bikes.choice()
    assert after["start"] - before["start"] == pytest.approx(7.77, abs=0.06)


def test_edges_are_dragged_also_later(bikes: StudioPage) -> None:
    """After the page was loaded again, too."""
    bikes.drag("#region", 6.0)
    bikes.page.reload()
    bikes.candidates()
    before = bikes.choice()
    bikes.drag("#edge-end", -4.0)
    after = bikes.choice()
    assert after["start"] == before["start"]
    assert -5 < after["end"] - before["end"] < -3
    bikes.drag("#edge-start", 2.0)
    assert 1 < bikes.choice()["start"] - after["start"] < 3


def test_undo_undoes_and_redo_redoes(bikes: StudioPage) -> None:
    page = bikes.page
    first = bikes.choice()
    bikes.drag("#region", 5.0)
    second = bikes.choice()
    page.keyboard.press("Control+z")
    assert bikes.choice() == first
    page.keyboard.press("Control+Shift+Z")
    assert bikes.choice() == second
    bikes.candidates().nth(3).click()
    assert bikes.choice()["track"] != second["track"] or bikes.choice()["start"] != second["start"]
    page.click("#undo")
    assert bikes.choice() == second
    page.click("#undo")
    assert bikes.choice() == first
    assert page.is_disabled("#undo")


def test_keys_alone(person: StudioPage, tmp_path: Path) -> None:
    page = person.page

    def focused() -> str:
        return page.evaluate("document.activeElement.id || document.activeElement.className")

    def tab_to(id: str) -> None:
        for _ in range(60):
            if focused() == id:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{id} cannot be reached")

    tab_to("files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(real_media.bikes())
    person.candidates()
    tab_to("cards")
    first = person.choice()
    page.keyboard.press("ArrowDown")
    second = person.choice()
    assert second["track"] != first["track"]
    chosen = page.locator("#cards [aria-selected=true]").get_attribute("id")
    assert page.get_attribute("#cards", "aria-activedescendant") == chosen
    page.keyboard.press("Space")
    page.wait_for_timeout(400)
    assert page.evaluate("studio.player.playing")
    page.keyboard.press("Space")

    page.locator("#play").focus()
    tab_to("region")
    page.keyboard.press("ArrowRight")
    moved = person.choice()
    beats = np.array(person.api(f"/tracks/{second['track']}/structure")["beats"])
    assert moved["start"] == beats[beats > second["start"] + 1e-3][0]
    assert moved["track"] == second["track"], "the arrow did not change the candidate"
    assert "on a beat" in page.get_attribute("#region", "aria-valuetext")
    page.keyboard.press("Shift+ArrowRight")
    assert person.choice()["start"] == pytest.approx(moved["start"] + 0.01)

    tab_to("words")
    page.keyboard.type("a r")
    assert page.input_value("#words") == "a r", "keys of the page do not act where one writes"
    page.locator("#region").focus()
    page.keyboard.press("r")
    with page.expect_download() as download:
        page.wait_for_selector("#made a")
        page.locator("#made a").focus()
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "bikes.mgsv.mp4"


def test_find_again_this_track_and_more_like_this(bikes: StudioPage) -> None:
    page = bikes.page
    cards = bikes.candidates()
    track = next(n for n in range(10) if "funky" in cards.nth(n).inner_text())
    cards.nth(track).click()
    bikes.drag("#region", 13.0, keys="Shift")
    before = bikes.choice()
    page.click("#again")
    page.wait_for_function("(start) => studio.clip.choice.start !== start", arg=before["start"])
    assert abs(bikes.choice()["start"] - before["start"]) <= 2.51
    assert cards.count() == 10, "the other candidates stay"
    name = page.inner_text("#track-name")
    page.click("#like")
    page.wait_for_function("(id) => studio.clip.choice.track !== id", arg=before["track"])
    page.wait_for_timeout(300)
    assert all(name not in card for card in cards.all_inner_texts())


def test_words_and_tempo_narrow(bikes: StudioPage) -> None:
    page = bikes.page
    page.fill("#words", "acoustic")
    page.fill("#tempo-to", "120")
    page.keyboard.press("Enter")
    page.wait_for_function(
        """() => [...document.querySelectorAll("#cards .tags")].every((tags) =>
          tags.innerText.includes("acoustic"))"""
    )
    page.fill("#words", "nosuchtag")
    page.keyboard.press("Enter")
    assert "nosuchtag: an unknown word" in bikes.problems()


@pytest.mark.parametrize("kind", ["text", "sound", "cut", "short"])
def test_bad_files_are_one_line_with_a_remedy(
    person: StudioPage, tmp_path: Path, kind: str
) -> None:
    bad, said = {
        "text": ("notes.mp4", "notes.mp4: "),
        "sound": ("tone.wav", "tone.wav: "),
        "cut": ("cut.mp4", "cut.mp4: "),
        "short": ("short.mp4", "the clip is only 0.40 s long: give a clip of at least 1 s"),
    }[kind]
    path = tmp_path / bad
    if kind == "text":
        path.write_text("this is no video")
    elif kind == "sound":
        media_files.write_audio(path, media_files.sine(2.0, 48_000), 48_000)
    elif kind == "cut":
        path.write_bytes(real_media.bikes().read_bytes()[:3000])
    else:
        media_files.write_video(path, media_files.Clip(seconds=0.4))
    person.drop(path)
    assert said in person.problems()
    person.page.click("#problems button")
    assert person.page.locator("#problems p").count() == 0


def test_many_bad_files_are_each_named_and_said_once(person: StudioPage, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    names = tuple(f"empty {number}.mp4" for number in range(6))
    person.drop(*[tmp_path / "empty.mp4"] * 6, names=names)
    person.page.wait_for_function("() => document.querySelectorAll('#problems p').length === 6")
    assert all(name in person.problems() for name in names)
    person.drop(tmp_path / "empty.mp4", names=names[:1])
    person.page.wait_for_selector("#incoming li", state="detached")
    person.page.wait_for_timeout(300)
    assert person.page.locator("#problems p").count() == 6


def test_messages_do_not_keep_buttons_from_being_used(bikes: StudioPage) -> None:
    page = bikes.page
    page.evaluate(
        """async () => {
          const { problem } = await import("/static/js/problems.js");
          for (let n = 0; n < 9; n++) problem({ detail: `${n}: ${"wrong ".repeat(40)}` });
        }"""
    )
    for button in ("#render", "#accept", "#explain"):
        page.click(button, trial=True, timeout=5000)
    page.set_viewport_size({"width": 360, "height": 500})
    page.click("#render", trial=True, timeout=5000)


def test_a_clip_for_which_nothing_was_found_says_why(person: StudioPage, tmp_path: Path) -> None:
    path = media_files.write_video(tmp_path / "short.mp4", media_files.Clip(seconds=0.4))
    person.drop(path)
    person.problems()
    assert "the clip is only 0.40 s long" in person.page.inner_text("#confidence")
    person.page.reload()
    person.page.wait_for_selector("body.ready")
    assert "the clip is only 0.40 s long" in person.page.inner_text("#confidence")
    assert "the clip is only 0.40 s long" in str(person.page.get_attribute("#clips .warn", "title"))


def test_states_are_seen_beside_long_names(person: StudioPage) -> None:
    name = f"{'a very long name of a clip ' * 4}.mp4"
    person.drop(real_media.bikes(), names=(name,))
    person.candidates()
    for width in (360, 900, 1600):
        person.page.set_viewport_size({"width": width, "height": 900})
        for what in ("td:nth-child(3)", "button[aria-label^=Remove]"):
            box = person.page.locator(f"#clips {what}").bounding_box()
            whole = person.page.locator("#clips-box").bounding_box()
            assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1, (width, what)


def test_space_plays_after_a_click(bikes: StudioPage) -> None:
    """Who works with the mouse has the last button in focus, and does not want it again."""
    page = bikes.page
    for what in ("#clips button.plain >> nth=0", "#undo", "#again", "#own-gain"):
        if page.is_visible(what) and page.is_enabled(what):
            page.click(what)
            page.keyboard.press("Space")
            page.wait_for_function("() => studio.player.playing", timeout=3000)
            page.keyboard.press("Space")
            assert page.inner_text("#play") == "Play"
    assert len([job for job in bikes.api("/jobs") if job["kind"] == "ground"]) == 2
    page.keyboard.press("Tab")
    page.focus("#help")
    page.keyboard.press("Space")
    assert page.locator("#keys").is_visible(), "buttons that were reached by keyboard are used so"


def test_a_command_for_a_name_that_looks_like_an_option(person: StudioPage) -> None:
    person.drop(real_media.bikes(), names=("-rf.mp4",))
    person.candidates()
    assert "mgsv render './-rf.mp4' " in person.page.inner_text("#command")


def test_reading_is_cancelled(person: StudioPage, tmp_path: Path) -> None:
    long = media_files.write_video(
        tmp_path / "long.mp4", media_files.Clip(seconds=150, width=320, height=180)
    )
    person.drop(long)
    person.page.wait_for_selector(".job progress", timeout=30_000)
    assert "s left" in person.page.inner_text(".job")
    began = time.monotonic()
    person.page.click(".job button")
    person.page.wait_for_selector(".job", state="detached")
    assert time.monotonic() - began < 3
    assert "needs a look" in person.page.inner_text("#clips")


@pytest.mark.parametrize(
    "name", ["שיר ישן.mp4", '<img src=x onerror="window.hacked=1">.mp4', "a&amp;b ‮4pm.mp4"]
)
def test_names_are_text(person: StudioPage, name: str) -> None:
    person.drop(real_media.bikes(), names=(name,))
    person.candidates()
    shown = person.page.inner_text("#clip-name")
    assert shown == name.replace("‮", "").split("/")[-1]
    assert person.page.locator("main img[src=x]").count() == 0
    assert not person.page.evaluate("window.hacked")


def test_a_queue_is_gone_through(person: StudioPage, folders: Path) -> None:
    page = person.page
    person.drop(real_media.bikes(), real_media.big_buck_bunny())
    person.candidates()
    page.wait_for_function("() => document.querySelectorAll('#clips tr').length === 2")
    page.wait_for_selector(".job", state="detached", timeout=60_000)
    page.click("#browse")
    page.click("#entries >> text=more")
    page.click("#entries >> text=talk.mp4")
    page.wait_for_function("() => document.querySelectorAll('#clips td .note').length === 3")
    page.check("#needs-look")
    wanted = [one for one in person.api("/clips") if one["needs_look"]]
    assert page.locator("#clips tr").count() == len(wanted)
    page.uncheck("#needs-look")
    page.click("#render-all")
    page.wait_for_function(
        "() => document.querySelectorAll('#clips a[download]').length === 3", timeout=60_000
    )
    page.click("#clips tr:nth-child(2) button.plain >> nth=0")
    assert page.inner_text("#clip-name") == "bigbuckbunny.mp4"
    page.click("#clips tr:nth-child(1) button[aria-label^=Remove]")
    page.wait_for_function("() => document.querySelectorAll('#clips tr').length === 2")


def test_the_clips_own_sound_is_heard_in_the_file(
    person: StudioPage, folders: Path, tmp_path: Path
) -> None:
    """Its 300 Hz under the music, where the slider says so."""
    page = person.page
    person.drop(folders / "clips" / "more" / "talk.mp4")
    person.candidates()
    page.locator("#own-gain").fill("80")
    page.wait_for_function("() => studio.clip.choice.keep_audio")
    page.click("#render")
    with page.expect_download() as download:
        page.click("#made a")
    download.value.save_as(tmp_path / "out.mp4")
    heard = read_audio(tmp_path / "out.mp4", RATE).samples[RATE : 3 * RATE]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * RATE / len(heard) == pytest.approx(300, abs=2)
    assert "--keep-audio" in page.inner_text("#command")


def test_accept_timeline_and_explanation(bikes: StudioPage) -> None:
    page = bikes.page
    page.click("#accept")
    page.wait_for_function("() => document.getElementById('accept').innerText === 'Accepted'")
    page.select_option("#timeline", "edl")
    with page.expect_download() as download:
        page.click("#made a")
    assert download.value.suggested_filename == "bikes.edl"
    page.click("#explain")
    page.wait_for_selector("#explanation:not([hidden])")
    page.wait_for_function("() => document.querySelector('#explanation img').naturalWidth > 500")
    assert "cuts" in page.inner_text("#explanation")


def test_two_tabs_do_not_disturb_each_other(person: StudioPage) -> None:
    """Each shows the clip that was chosen there."""
    person.drop(real_media.bikes(), real_media.big_buck_bunny())
    person.candidates()
    person.page.wait_for_selector(".job", state="detached", timeout=60_000)
    other = person.open()
    other.wait_for_selector("#cards [role=option]")
    other.click("#clips tr:nth-child(2) button.plain >> nth=0")
    other.wait_for_function(
        "() => document.getElementById('clip-name').innerText.startsWith('big')"
    )
    assert person.page.inner_text("#clip-name") == "bikes.mp4"
    before = person.choice()
    other.locator("#cards [role=option]").nth(2).click()
    other.wait_for_timeout(300)
    assert person.choice() == before


def test_what_a_screen_reader_meets(bikes: StudioPage) -> None:
    """axe-core's audit, light and dark, with what can be open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = bikes.page
    page.click("#explain")
    page.wait_for_selector("#explanation:not([hidden])")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)  # colours pass over into each other
        for state in ("stage", "keys", "folder"):
            if state == "keys":
                page.click("#help")
            if state == "folder":
                page.keyboard.press("Escape")
                page.click("#browse")
                page.wait_for_selector("#entries li")
            found = axe.Axe().run(page).response["violations"]
            serious = [
                (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], (scheme, state)
        page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "width", [360, *(pytest.param(n, marks=pytest.mark.thorough) for n in (800, 1440)), 2560]
)
def test_it_fits_any_width(browser: Any, studio: Running, width: int) -> None:
    person = StudioPage(browser, studio.url, viewport={"width": width, "height": 800})
    try:
        person.drop(real_media.bikes())
        person.candidates()
        assert person.page.evaluate("document.documentElement.scrollWidth") <= width
        assert person.page.locator("#region").bounding_box()["height"] > 60
    finally:
        person.close()


def test_what_the_browser_cannot_play_is_said(person: StudioPage, tmp_path: Path) -> None:
    clip = media_files.write_video(tmp_path / "old.mkv", media_files.Clip(seconds=4), codec="mpeg4")
    person.drop(clip)
    person.candidates()
    assert person.page.is_visible("#no-picture")
    person.page.click("#play")
    person.page.wait_for_timeout(900)
    assert person.page.evaluate("studio.player.position") > 0.3
    person.page.click("#play")


def test_a_studio_that_is_gone_is_said(browser: Any, folders: Path, tmp_path: Path) -> None:
    from studio_support import running

    with running(tmp_path, "--library", folders / "library") as started:
        person = StudioPage(browser, started.url)
        person.drop(real_media.bikes())
        person.candidates()
        started.process.kill()
        started.process.wait()
        person.page.click("#render")
        assert "the studio does not answer" in person.problems()
        person.close()


def test_script_and_style_are_small() -> None:
    import mgsv.studio

    static = Path(mgsv.studio.__file__).parent / "static"
    own = [one for one in static.rglob("*") if one.suffix in (".js", ".css", ".html")]
    assert sum(one.stat().st_size for one in own) <= 200_000
    assert len(own) >= 10
    assert all(len(one.read_text().splitlines()) <= 400 for one in own)

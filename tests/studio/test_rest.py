"""The REST interface, from a clip to its files, on a studio that serves."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import media_files
import mgsv
import real_media
from mgsv.library import Library
from mgsv.media.audio import read_audio
from studio_support import API, Client, Running, running
from tunes import write_tunes

RATE = 48_000


def samples(answer: httpx.Response) -> np.ndarray:
    """[N, 2] of a WAV file, from −1 to 1."""
    assert answer.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32767


@pytest.mark.slow
def test_candidates_are_those_of_the_python_api(
    client: Client, clip: str, bundled: Library
) -> None:
    job = client.do(f"clips/{clip}/groundings", options={"top": 5, "memory": "off"})
    assert job["state"] == "done", job
    found = client.get(f"{API}/clips/{clip}/candidates").json()
    expected = mgsv.ground(real_media.bikes(), bundled, top=5, memory="off")
    assert [
        (one["rank"], one["track"]["name"], one["start"], one["end"], one["why"])
        for one in found["moments"]
    ] == [
        (one.rank, one.track.path.name, round(one.start, 4), round(one.end, 4), one.why)
        for one in expected
    ]
    assert found["better_than_chance"] == expected.better_than_chance
    known = client.get(f"{API}/clips/{clip}").json()
    assert known["choice"]["start"] == found["moments"][0]["start"]
    assert bool(known["needs_look"]) != found["better_than_chance"]


def test_progress_comes_as_events_that_can_be_taken_up_again(client: Client, clip: str) -> None:
    place = client.begin(f"clips/{clip}/groundings")
    events = list(client.events(f"{place}/events"))
    numbers = [number for number, _ in events]
    assert numbers == sorted(set(numbers))
    assert events[-1][1]["state"] == "done"
    steps = [job["step"] for _, job in events if job["step"]]
    assert steps and steps[-1]["what"] == "reading" and steps[-1]["total"] == 10
    again = list(client.events(f"{place}/events", str(numbers[-1] - 1)))
    assert [number for number, _ in again] == [numbers[-1]]
    assert list(client.events(f"{place}/events", str(numbers[-1]))) == []


@pytest.mark.slow
def test_the_rendered_file_begins_where_it_was_chosen(client: Client, clip: str) -> None:
    """By the sound of the file, compared with the track's."""
    track = next(one for one in client.get(f"{API}/tracks").json() if "funky" in one["name"])
    start = 43.21
    choice = {"track": track["id"], "start": start, "end": start + 10}
    assert client.put(f"{API}/clips/{clip}/choice", json=choice).status_code == 200
    job = client.do(f"clips/{clip}/renders")
    assert job["state"] == "done", job
    answer = client.get(job["file"], params={"download": True})
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["content-type"] == "video/mp4"
    assert client.get(f"{API}/clips/{clip}").json()["rendered"] == job["id"]
    music = read_audio(real_media.long_tracks()[1], RATE).samples
    path = Path("/tmp") / f"{clip}.mp4"
    path.write_bytes(answer.content)
    try:
        heard = read_audio(path, RATE).samples[RATE : 3 * RATE]
    finally:
        path.unlink()
    around = music[round((start + 0.5) * RATE) : round((start + 3.5) * RATE)]
    size = len(around) + len(heard)
    likeness = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(heard, size)), size)
    assert (np.argmax(likeness) / RATE) == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("ending", ["otio", "xml", "edl"])
def test_timelines(client: Client, clip: str, ending: str) -> None:
    client.do(f"clips/{clip}/groundings")
    job = client.do(f"clips/{clip}/timelines", format=ending)
    assert job["state"] == "done", job
    answer = client.get(job["file"])
    assert "bikes" in answer.text and f".{ending}" in answer.headers["content-disposition"]


def test_an_explanation_is_a_picture_and_sentences(client: Client, clip: str) -> None:
    client.do(f"clips/{clip}/groundings")
    job = client.do(f"clips/{clip}/explanations")
    assert job["state"] == "done", job
    picture = Image.open(io.BytesIO(client.get(job["file"]).content))
    assert picture.format == "PNG" and picture.width > 500
    assert any("cuts fall on a beat" in note for note in job["notes"])


def test_a_moment_is_heard_as_it_is_rendered(client: Client, clip: str) -> None:
    track = client.get(f"{API}/tracks").json()[0]["id"]
    where = {"track": track, "start": 3.0, "end": 13.0}
    sound = samples(client.get(f"{API}/clips/{clip}/sound", params=where))
    assert len(sound) == 10 * RATE
    part = samples(client.get(f"{API}/tracks/{track}/sound", params={"start": 4.0, "end": 5.0}))
    piece = sound[RATE : 2 * RATE].ravel()
    assert np.corrcoef(piece, part.ravel())[0, 1] > 0.99


def test_what_is_seen_of_a_track_fits_its_sound(client: Client) -> None:
    """The loudest place of its peaks is where the decoded sound is loud."""
    track = client.get(f"{API}/tracks").json()[-1]
    peaks = client.get(f"{API}/tracks/{track['id']}/peaks", params={"per_second": 10}).json()
    assert len(peaks["peaks"]) == pytest.approx(10 * track["duration"], abs=1)
    assert 50 < max(peaks["peaks"]) <= 100 and min(peaks["peaks"]) >= 0
    path = next(
        one
        for one in (*real_media.bgm_tracks(), *real_media.long_tracks())
        if one.name == track["name"]
    )
    sound = np.abs(read_audio(path, 16_000).samples)
    loud = [float(np.sqrt(np.mean(one**2))) for one in np.array_split(sound, len(peaks["peaks"]))]
    assert np.corrcoef(loud, peaks["peaks"])[0, 1] > 0.8
    form = client.get(f"{API}/tracks/{track['id']}/structure").json()
    assert set(form["downbeats"]) <= set(form["beats"]) and form["sections"][0] == 0


def test_the_picture_of_a_clip(client: Client, clip: str) -> None:
    picture = client.get(f"{API}/clips/{clip}/picture").json()
    assert picture["duration"] == pytest.approx(10.0) and len(picture["cuts"]) == 5
    strip = client.get(f"{API}/clips/{clip}/filmstrip")
    image = Image.open(io.BytesIO(strip.content))
    assert image.height == 72 and image.width > 24 * 72


def test_ranges_of_media(client: Client, clip: str) -> None:
    whole = real_media.bikes().read_bytes()
    place = f"{API}/clips/{clip}/media"
    assert client.get(place).content == whole
    part = client.get(place, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206 and part.content == whole[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole)}"
    assert client.get(place, headers={"Range": "bytes=-500"}).content == whole[-500:]
    assert client.get(place, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert client.head(place).headers["content-length"] == str(len(whole))


def test_narrowed_by_words_tempo_track_and_likeness(client: Client, clip: str) -> None:
    tracks = {one["id"]: one for one in client.get(f"{API}/tracks").json()}

    def found(**request: object) -> list[dict[str, object]]:
        job = client.do(f"clips/{clip}/groundings", **request)
        assert job["state"] == "done", job
        return [
            one["track"] for one in client.get(f"{API}/clips/{clip}/candidates").json()["moments"]
        ]

    assert 0 < len(found(words="calm, Acoustic")) <= max(6, len(tracks) // 4 + 1)
    assert all(99.5 <= one["tempo"] <= 120.5 for one in found(tempo_from=100, tempo_to=120))
    like = next(iter(tracks))
    assert like not in [one["id"] for one in found(like=like)]
    job = client.do(f"clips/{clip}/groundings", words="xylophonecore")
    assert job["state"] == "failed" and "xylophonecore: an unknown word" in str(job["problem"])

    one = next(t for t in tracks.values() if t["duration"] > 100)
    job = client.do(f"clips/{clip}/groundings", track=one["id"], near=60.0)
    assert job["moment"]["track"]["id"] == one["id"]
    assert abs(job["moment"]["start"] - 60.0) <= 2.5
    kept = client.get(f"{API}/clips/{clip}/candidates").json()["moments"]
    assert len(kept) > 1, "the candidates among all tracks stay"
    assert client.get(f"{API}/clips/{clip}").json()["choice"]["track"] == one["id"]


def test_uses_are_remembered_and_forgotten(client: Client, clip: str) -> None:
    assert client.post(f"{API}/uses", json={"clip": clip}).status_code == 409
    client.do(f"clips/{clip}/groundings")
    made = client.post(f"{API}/uses", json={"clip": clip})
    assert made.status_code == 201
    assert client.get(f"{API}/clips/{clip}").json()["accepted"]
    use = made.json()
    assert use["id"] in [one["id"] for one in client.get(f"{API}/uses").json()]
    assert client.delete(f"{API}/uses/{use['id']}").status_code == 204
    assert client.delete(f"{API}/uses/{use['id']}").status_code == 404


def test_a_clip_is_picked_and_its_file_stays(client: Client, folders: Path) -> None:
    names = [one["name"] for one in client.get(f"{API}/folders/0").json()]
    assert names == ["more", "bikes.mp4"], "no links out, no hidden files, no other files"
    assert [one["path"] for one in client.get(f"{API}/folders/0?path=more").json()] == [
        "more/talk.mp4"
    ]
    made = client.post(f"{API}/clips", json={"folder": 0, "path": "more/talk.mp4"})
    assert made.status_code == 201 and made.json()["has_audio"]
    assert client.delete(made.headers["location"]).status_code == 204
    assert (folders / "clips" / "more" / "talk.mp4").exists()


def test_workspaces_do_not_mix(studio: Running, client: Client, clip: str) -> None:
    place = client.begin(f"clips/{clip}/groundings")
    client.ended(place)
    with studio.client() as other:
        assert other.get(f"{API}/clips").json() == []
        paths = [f"{API}/clips/{clip}", f"{API}/clips/{clip}/media", place, f"{place}/events"]
        assert [other.get(path).status_code for path in paths] == [404] * 4
        assert other.delete(f"{API}/clips/{clip}").status_code == 404
        assert other.delete(place).status_code == 404
    assert client.get(f"{API}/clips/{clip}").status_code == 200


@pytest.mark.slow
def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_soon(
    client: Client, tmp_path: Path
) -> None:
    long = media_files.write_video(
        tmp_path / "long.mp4", media_files.Clip(seconds=240, width=320, height=180)
    )
    clip = client.upload(long)["id"]
    places = [client.begin(f"clips/{clip}/groundings") for _ in range(4)]
    for _, job in client.events(f"{places[0]}/events"):
        if job["step"] and job["step"]["what"] == "reading":
            break
    began = time.monotonic()
    for place in reversed(places):
        assert client.delete(place).status_code == 204
    assert [client.ended(place)["state"] for place in places] == ["cancelled"] * 4
    assert time.monotonic() - began < 3
    assert client.get(f"{API}/clips/{clip}/candidates").status_code == 404


@pytest.mark.slow
def test_a_bad_file_costs_one_line(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("this is no video")
    tone = media_files.write_audio(tmp_path / "tone.wav", media_files.sine(2.0, 48_000), 48_000)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(real_media.bikes().read_bytes()[:3000])
    for bad in (text, tone, cut):
        with bad.open("rb") as file:
            answer = client.post(f"{API}/clips/upload?name={bad.name}", content=file)
        assert answer.status_code == 422, bad
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        # The line of the command line, but for the folder that the file is in.
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from mgsv.media.isolated import probe_video\n"
             "try: probe_video(sys.argv[1])\nexcept Exception as e: print(e)", str(bad)],
            capture_output=True, text=True,
        )  # fmt: skip
        said = done.stdout.strip().replace(f"{tmp_path}/", "")
        assert said == ": ".join(filter(None, [problem["detail"], problem.get("remedy")]))
    assert client.get(f"{API}/clips").json() == []


def test_a_short_clip_fails_as_a_job(client: Client, tmp_path: Path) -> None:
    short = media_files.write_video(tmp_path / "short.mp4", media_files.Clip(seconds=0.4))
    clip = client.upload(short)["id"]
    job = client.do(f"clips/{clip}/groundings")
    assert job["state"] == "failed"
    assert job["problem"]["detail"].startswith("short.mp4: the clip is only 0.40 s long")
    assert job["problem"]["remedy"] == "give a clip of at least 1 s"


@pytest.mark.slow
def test_a_restart_keeps_the_queue(folders: Path, tmp_path: Path, studio: Running) -> None:
    """Clips, choices and results are there again, and what had not ended is done."""
    more = ["--library", folders / "library", "--workers", "1"]
    with running(tmp_path, *more) as first, first.client() as client:
        cookies = client.cookies
        one, two = (client.upload(real_media.bikes(), name) for name in ("one.mp4", "two.mp4"))
        client.do(f"clips/{one['id']}/groundings")
        rendered = client.do(f"clips/{one['id']}/renders")
        choice = client.get(f"{API}/clips/{one['id']}").json()["choice"]
        pending = [client.begin(f"clips/{two['id']}/groundings") for _ in range(3)]
        first.process.kill()
        first.process.wait()
    with running(tmp_path, *more) as second, second.client(cookies=cookies) as client:
        assert [client.ended(place)["state"] for place in pending] == ["done"] * 3
        clips = client.get(f"{API}/clips").json()
        assert [one["name"] for one in clips] == ["one.mp4", "two.mp4"]
        assert clips[0]["choice"] == choice and clips[0]["rendered"] == rendered["id"]
        assert client.get(rendered["file"]).status_code == 200
        assert client.get(f"{API}/clips/{one['id']}/candidates").status_code == 200


@pytest.mark.slow
def test_music_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    with (
        running(
            tmp_path / "s", "--music", tmp_path / "music", MGSV_LIBRARY=str(tmp_path / "l")
        ) as (empty),
        empty.client() as client,
    ):
        clip = client.upload(real_media.bikes())["id"]
        job = client.do(f"clips/{clip}/groundings")
        assert job["state"] == "failed" and job["problem"]["status"] == 409
        assert "no music" in job["problem"]["detail"]
        assert client.get(f"{API}/tracks").status_code == 503


@pytest.mark.slow
def test_a_deleted_track_is_gone_when_the_music_is_read_again(tmp_path: Path) -> None:
    write_tunes(tmp_path / "music", range(2))
    with (
        running(
            tmp_path / "studio", "--music", tmp_path / "music", "--library", tmp_path / "library"
        ) as started,
        started.client() as client,
    ):
        client.ended(f"{API}/jobs/{client.get(f'{API}/library').json()['index']['id']}")
        assert len(client.get(f"{API}/tracks").json()) == 2
        next((tmp_path / "music").iterdir()).unlink()
        assert client.do("library/index")["state"] == "done"
        assert len(client.get(f"{API}/tracks").json()) == 1
        assert client.get(f"{API}/library").json()["tracks"] == 1


@pytest.mark.slow
def test_an_end_amid_requests_is_no_fault(tmp_path: Path) -> None:
    with running(tmp_path, "--library", tmp_path / "library") as started:
        client = started.client()
        stream = client.stream("GET", f"{API}/events")
        stream.__enter__()
    assert len(started.log.read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_port_that_is_taken_is_said(studio: Running, tmp_path: Path) -> None:
    port = studio.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "mgsv", "studio", "--no-browser", "--port", port,
         "--queue", str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        done.stderr == f"mgsv: --port {port}: another program has it: give another, or 0 for any\n"
    )


def test_many_threads_ask_at_once(client: Client, clip: str) -> None:
    client.do(f"clips/{clip}/groundings")
    failures: list[object] = []

    def ask() -> None:
        for path in ("clips", f"clips/{clip}", f"clips/{clip}/candidates", "library", "jobs"):
            answer = client.get(f"{API}/{path}")
            if answer.status_code != 200:
                failures.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

"""A studio with the bundled music that all tests share; each has a workspace of its own there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import media_files
import real_media
from library_support import copy_library

pytest.importorskip("fastapi", reason="the studio needs the extra mgsv[studio]")
pytest.importorskip("uvicorn", reason="the studio needs the extra mgsv[studio]")

from studio_support import API, Client, Running, running


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, bundled_folder: Path) -> Path:
    """`library`; `clips` with two clips, one in a folder inside; and beside it what nobody may
    see."""
    base = tmp_path_factory.mktemp("studio")
    copy_library(bundled_folder, base / "library")
    inside = base / "clips" / "more"
    inside.mkdir(parents=True)
    (base / "clips" / "bikes.mp4").write_bytes(real_media.bikes().read_bytes())
    sound = media_files.sine(4.0, 48_000, 300.0)
    media_files.write_video(inside / "talk.mp4", media_files.Clip(seconds=4), audio=sound)
    media_files.write_video(base / "secret.mp4", media_files.Clip(seconds=2))
    (base / "clips" / "link.mp4").symlink_to(base / "secret.mp4")
    (base / "clips" / "out").symlink_to(base)
    (base / "clips" / ".hidden.mp4").write_bytes(b"hidden")
    (base / "clips" / "notes.txt").write_text("no clip")
    return base


@pytest.fixture(scope="session")
def studio(folders: Path) -> Iterator[Running]:
    tracks = [*real_media.bgm_tracks(), *real_media.long_tracks()]
    music = [word for track in tracks for word in ("--music", track)]
    more = ["--clips", folders / "clips", "--library", folders / "library"]
    with running(folders / "studio", *music, *more) as started:
        client = started.client()
        index = client.get(f"{API}/library").json()["index"]
        assert client.ended(f"{API}/jobs/{index['id']}")["state"] == "done"
        yield started


@pytest.fixture
def client(studio: Running) -> Iterator[Client]:
    with studio.client() as client:
        yield client
        for clip in client.get(f"{API}/clips").json():
            client.delete(f"{API}/clips/{clip['id']}")


@pytest.fixture
def clip(client: Client) -> str:
    """The id of a clip that was dropped: 10 s, five cuts."""
    return str(client.upload(real_media.bikes())["id"])

"""The base package alone, installed from this checkout into an empty environment.

What it answers is read back by programs of this environment: PyAV here, and this mgsv.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import av
import pytest

import real_media
from mgsv.errors import RESEARCH

ROOT = Path(__file__).parents[1]
CLIP_SECONDS = 10.0
FRAME = 0.04

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with nothing but the base package."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, with_pip=False)
    own = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", own, "install", "--quiet", ROOT]
    done = subprocess.run(pip, capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "No module named pip" in done.stderr:
        pytest.skip("pip finds no packages to install here")
    assert done.returncode == 0, done.stderr
    return own


class Installed:
    """Runs Python and mgsv of the environment, in a folder, with a library in it."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python, self._folder = python, folder

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        own = {name: value for name, value in os.environ.items() if name not in hidden}
        return subprocess.run(
            [self._python, *map(str, arguments)],
            env={**own, "MGSV_LIBRARY": "library", "COLUMNS": "120"},
            cwd=self._folder,
            capture_output=True,
            text=True,
        )

    def python(self, code: str, *arguments: object) -> str:
        done = self.run("-c", code, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mgsv(self, *arguments: object) -> str:
        done = self.run("-m", "mgsv", *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout


@pytest.fixture
def base(python: Path, tmp_path: Path) -> Installed:
    return Installed(python, tmp_path)


def test_it_is_what_was_installed_and_has_no_pytorch(base: Installed) -> None:
    where = base.python("import mgsv; print(mgsv.__file__)")
    assert "site-packages" in where and str(ROOT) not in where
    code = f"""
from importlib.util import find_spec
print([name for name in {sorted(RESEARCH)} if find_spec(name)])
"""
    assert base.python(code).strip() == "[]"


def test_a_creators_commands(base: Installed, tmp_path: Path) -> None:
    clip, tracks = real_media.bikes(), real_media.bgm_tracks()[:4]
    music = [word for track in tracks for word in ("--music", track)]

    assert base.mgsv("library", "add", *tracks) == "4 added, 0 unchanged, 0 moved\n"
    listed = base.mgsv("library", "list")
    assert all(track.name in listed for track in tracks)
    base.mgsv("library", "check")

    answer = base.mgsv(
        *("ground", clip, *music, "--output", "result.mp4", "--timeline", "cut.otio", "--json")
    )
    (tmp_path / "result.json").write_text(answer)
    document = json.loads(answer)
    assert document["model"]["method"] == "made"
    best = document["moments"][0]
    assert Path(best["track"]) in tracks
    assert best["end"] - best["start"] == pytest.approx(CLIP_SECONDS, abs=FRAME)
    with av.open(str(tmp_path / "result.mp4")) as container:
        kinds = [stream.type for stream in container.streams]
        seconds = container.duration / av.time_base
    assert sorted(kinds) == ["audio", "video"] and abs(seconds - CLIP_SECONDS) < 2 * FRAME
    assert json.loads((tmp_path / "cut.otio").read_text())["OTIO_SCHEMA"] == "Timeline.1"

    base.mgsv("accept", "result.json")
    again = json.loads(base.mgsv("ground", clip, *music, "--no-render", "--json"))
    uses = [moment["evidence"].get("past_uses", 0) for moment in again["moments"]]
    assert sum(uses) == 1

    base.mgsv("annotate", "result.mp4", *music, "--output", "uses.csv")
    (row,) = csv.DictReader((tmp_path / "uses.csv").read_text().splitlines())
    assert Path(row["music_path"]).name == Path(best["track"]).name
    assert float(row["music_start"]) == pytest.approx(best["start"], abs=0.1)

    for name, head in (("why.png", b"\x89PNG"), ("why.svg", b"<?xml")):
        base.mgsv("explain", clip, *music, "--output", name)
        assert (tmp_path / name).read_bytes().startswith(head)

    report = base.mgsv("doctor")
    assert "everything works" in report and "torch" not in report.partition("optional")[0]


def test_the_python_interface(base: Installed, tmp_path: Path) -> None:
    code = """
import sys, mgsv
clip, track = sys.argv[1:]
with mgsv.Session.open([track], folder="library") as session:
    found = session.ground(clip, mgsv.GroundOptions(top=1))
    session.accept(found)
    mgsv.explain(found, session.library, "api.svg")
mgsv.render(clip, found[0], "api.mp4")
mgsv.write_timeline(clip, found[0], "api.edl")
print(found[0].end - found[0].start)
"""
    seconds = base.python(code, real_media.bikes(), real_media.bgm_tracks()[0])
    assert float(seconds) == pytest.approx(CLIP_SECONDS, abs=FRAME)
    assert all((tmp_path / name).stat().st_size for name in ("api.svg", "api.mp4", "api.edl"))


@pytest.mark.parametrize(
    "command",
    [
        ("models",),
        ("train", "made", "--data", "none", "--output", "run"),
        ("evaluate", "none.safetensors", "--data", "none"),
        ("reproduce", "table", "--data", "none", "--output", "table"),
        ("extract", "CLIP", "--output", "features"),
        ("export", "SHIPPED", "-o", "out.onnx"),
        ("import", "none.pt", "none.safetensors"),
        ("data", "compose", "edits", "--music", ".", "--pictures", "."),
        ("data", "download", "mgsv-ec"),
        ("ground", "CLIP", "--music", ".", "--model", "SHIPPED"),
        ("ground", "CLIP", "--music", ".", "--encoders", "paper"),
    ],
    ids=" ".join,
)
def test_what_researchers_run_names_the_package_to_install(
    base: Installed, tmp_path: Path, command: tuple[str, ...]
) -> None:
    from mgsv.models.weights import shipped_checkpoint

    names = {"CLIP": real_media.bikes(), "SHIPPED": shipped_checkpoint()}
    done = base.run("-m", "mgsv", *(names.get(word, word) for word in command))
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith("install it with: pip install 'mgsv[research]'")
    assert not list(tmp_path.iterdir())

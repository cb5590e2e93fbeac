"""What a creator does works without PyTorch, and what needs it says how to get it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import real_media
import without_torch

PYTHON = """
import sys
import mgsv
clip, track, folder = sys.argv[1:]
with mgsv.Session.open([track], folder=folder) as session:
    found = session.ground(clip, mgsv.GroundOptions(top=1))
    session.accept(found)
    mgsv.explain(found, session.library, "api.svg")
mgsv.render(clip, found[0], "api.mp4")
mgsv.write_timeline(clip, found[0], "api.otio")
assert "torch" not in sys.modules
"""


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    folder = tmp_path / "hidden"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_a_creators_commands(own_library: Path, hidden: Path, tmp_path: Path) -> None:
    tracks = real_media.bgm_tracks()
    clip, music = real_media.bikes(), tracks[0].parent
    result = tmp_path / "clip.mp4"
    for command in (
        ["ground", clip, "--music", music, "--output", result, "--timeline", "cut.otio"],
        ["ground", clip, "--music", music, "--accept", "--no-render", "--method", "sync"],
        ["explain", clip, "--music", tracks[0], "--output", "why.png"],
        ["library", "list"],
        ["library", "add", tracks[-1]],
        ["annotate", result, "--music", music, "-o", "uses.csv"],
        ["doctor"],
    ):
        done = without_torch.run(hidden, "-m", "mgsv", *command)
        assert done.returncode == 0, (command, done.stderr)
    assert result.exists() and Path("cut.otio").exists() and Path("why.png").exists()


@pytest.mark.slow
def test_the_python_interface(own_library: Path, hidden: Path, tmp_path: Path) -> None:
    track = real_media.bgm_tracks()[0]
    done = without_torch.run(hidden, "-c", PYTHON, real_media.bikes(), track, own_library)
    assert done.returncode == 0, done.stderr
    assert Path("api.mp4").exists() and Path("api.otio").exists() and Path("api.svg").exists()


@pytest.mark.slow
def test_what_is_not_indexed_yet_is_encoded(hidden: Path, tmp_path: Path) -> None:
    arguments = ["--library", tmp_path / "new", "--music", real_media.bgm_tracks()[3]]
    clip = real_media.bikes()
    done = without_torch.run(
        hidden, "-m", "mgsv", "ground", clip, *arguments, "--no-render", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["method"] == "made"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["models"],
        ["train", "made", "--data", "none", "--output", "run"],
        ["evaluate", "none.safetensors", "--data", "none"],
        ["ground", "CLIP", "--music", ".", "--model", "SHIPPED"],
        ["export", "SHIPPED", "-o", "out.onnx"],
        ["data", "compose", "edits", "--music", "MUSIC", "--pictures", "MUSIC"],
    ],
)
def test_what_needs_torch_says_so_in_one_line(
    own_library: Path, hidden: Path, command: list[str]
) -> None:
    from mgsv.models.weights import shipped_checkpoint

    music = real_media.bgm_tracks()[0].parent
    names = {"CLIP": real_media.bikes(), "SHIPPED": shipped_checkpoint(), "MUSIC": music}
    done = without_torch.run(hidden, "-m", "mgsv", *(names.get(word, word) for word in command))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "needs the package torch: install it with: pip install 'mgsv[research]'" in line
    assert not list(own_library.parent.glob("edits*"))


def test_importing_mgsv_imports_nothing_heavy(hidden: Path) -> None:
    heavy = "numpy", "av", "onnxruntime", "matplotlib"
    code = f"import sys, mgsv; print([name for name in {heavy} if name in sys.modules])"
    assert without_torch.run(hidden, "-c", code).stdout.strip() == "[]"

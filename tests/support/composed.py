"""What data are composed from, so little that tests wait seconds: tunes, pictures, a clip."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import skimage.data

from media_files import Clip, write_video
from mgsv.encoders.musicnn import TAGS
from mgsv.media.rhythm import ONSET_RATE, Rhythm
from mgsv.media.structure import Structure
from mgsv.synthesis.composed.corpus import Item
from mgsv.synthesis.composed.footage import LOOKS, Footage
from mgsv.synthesis.composed.music import AnalysedTrack
from mgsv.synthesis.composed.plan import VIEWS
from mgsv.synthesis.composed.studio import Studio, scale_of
from tunes import write_tunes

PICTURES = ("coffee", "chelsea", "rocket")


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """uint8 RGB [H, W, 3] as PNG."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream("png", rate=1)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def write_corpus(folder: Path) -> Path:
    """`music`, `pictures` with a broken one, and `clips` below `folder`."""
    write_tunes(folder / "music", range(3), seconds=14.0)
    (folder / "pictures").mkdir()
    (folder / "clips").mkdir()
    for name in PICTURES:
        write_picture(folder / "pictures" / f"{name}.png", getattr(skimage.data, name)())
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    write_video(
        folder / "clips" / "tiles.mp4",
        Clip(seconds=2.5, rate=30, width=448, height=256, speed=lambda _: 0.1),
    )
    return folder


def made_up_track(seed: int = 0, seconds: float = 120.0, tempo: float = 120.0) -> AnalysedTrack:
    """A track with beats at `tempo` from 0.1 s on, louder onsets 0.2 s after them, and loudness
    that rises and falls.
    """
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * ONSET_RATE)) / ONSET_RATE
    beats = np.arange(0.1, seconds, 60 / tempo).astype(np.float32)
    onset = rng.uniform(0, 0.2, len(times)).astype(np.float32)
    for late, strength in ((0.0, 2.0), (0.2, 3.0)):
        onset[np.round((beats + late) * ONSET_RATE).astype(int).clip(max=len(times) - 1)] = strength
    energy = (0.6 + 0.3 * np.sin(times / 7)).astype(np.float32)
    rows = int(np.ceil(seconds / 2.5))
    return AnalysedTrack(
        Item(f"track{seed}", "music", Path(f"track{seed}.ogg"), "train"),
        rng.random((rows, 761), np.float32),
        rng.random((rows, len(TAGS)), np.float32),
        Rhythm(seconds, onset, energy, tempo, beats),
        Structure(
            beats[::4],
            np.array([0, 30, 60], np.float32),
            beats[::16],
            rng.random((rows, 8), np.float32),
        ),
    )


def made_up_footage(number: int, kind: str = "picture") -> Footage:
    """A picture or clip of noise whose rows tell view and light."""
    rng = np.random.default_rng(number)
    clip = kind == "clip"
    rows = rng.random((20 if clip else len(VIEWS), 3, 1280), np.float32)
    planes = rng.integers(0, 256, (300, 54, 64) if clip else (384, 448), np.uint8)
    item = Item(f"{kind}{number}", kind, Path(f"{number}"), "train")  # type: ignore[arg-type]
    return Footage(item, rows, planes, rng.random(len(LOOKS)).astype(np.float32))


def made_up_studio() -> Studio:
    footage = [made_up_footage(n) for n in range(8)]
    footage += [made_up_footage(n, "clip") for n in range(2)]
    track = made_up_track()
    return Studio(
        [track], footage, scale_of(list(track.moods)), scale_of([f.looks for f in footage])
    )

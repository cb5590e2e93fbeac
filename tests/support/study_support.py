"""What small studies are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from study_listeners import paper_key, paper_study

from media_files import Clip, write_audio, write_video
from mgsv.media.pictures import write_film
from mgsv.media.soundfile import write_music_sound
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
from mgsv.study.create import Created
from mgsv.study.options import StudyOptions
from mgsv.study.study import Study
from tunes import RATE, tune

OPTIONS = StudyOptions(systems=("original", "sync", "made"), trials=4, checks=1, seed=5)


@dataclass(frozen=True)
class Made:
    """A study, and what it was made of."""

    created: Created
    clips: Path
    music: Path
    library: Path

    @property
    def folder(self) -> Path:
        return self.created.folder


def sound(seed: int, start: float, end: float) -> NDArray[np.float32]:
    """Of a tune, at 48 kHz."""
    samples = tune(seed, 25)[round(start * RATE) : round(end * RATE)]
    return np.repeat(samples, 48_000 // RATE)


def write_clip(path: Path, samples: NDArray[np.float32] | None, seconds: float = 6.0) -> Path:
    clip = Clip(seconds=seconds, rate=10, width=160, height=90, cuts=(1.5, 3.0, 4.2))
    return write_video(path, clip, audio=samples)


def heard_study(folder: Path, *, seconds: float = 3.0, trials: int = 2, checks: int = 1) -> Study:
    """A study of two clips and two systems whose media can be played; no system was asked."""
    paper = paper_study(clips=2, systems=2, trials=trials, checks=checks, folder=folder)
    study = replace(paper, clips=tuple(replace(one, seconds=seconds) for one in paper.clips))
    media = folder / "media"
    media.mkdir()
    for n, clip in enumerate(study.clips):
        film = Clip(seconds=seconds, rate=25, width=320, height=180, cuts=(1.0, 2.0), seed=n)
        times = film.times()
        pictures = (film.picture(time, time / 8) for time in times)
        write_film(media / clip.picture, pictures, 25, crf=23)
        for s, variant in enumerate(clip.variants):
            track = write_audio(folder / "track.wav", tune(10 * n + s, seconds + 1), rate=RATE)
            moment, target = Moment(0, seconds), SoundOptions(loudness=-23)
            place = media / variant.sound
            write_music_sound(media / clip.picture, track, moment, place, sound=target)
            track.unlink()
    key = paper_key(study)
    (folder / "study.json").write_text(json.dumps(study.document()))
    (folder / "key.json").write_text(json.dumps(key.document()))
    return study

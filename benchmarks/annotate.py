"""How well and how fast `mgsv annotate` finds the music of videos, on made-up uses of real tracks.

    python benchmarks/annotate.py --music DIR … --foreign DIR … --effects DIR … [--uses 200]

Each use is a random moment of 8 to 40 s, under speech or sound effects that are louder, as loud or
softer, at a random level, half of them faded, one in ten 1 % faster or slower, encoded as AAC at
64 kb/s in an mp4. The foreign videos are made in the same way from music that is not in the
library. All of them go through `mgsv.annotate.annotate`, as a user's would.

Needs the program `espeak-ng`, and real files: at least 40 tracks for --music, others for --foreign,
short sounds for --effects. Meant for `immich-memories-music` (PyPI) and Debian's
`wesnoth-1.16-music` as the library, Debian's `warzone2100-music` and the music of
`hyperrogue-music` as foreign music, and the latter's sounds as effects; `dpkg -x` unpacks a Debian
package without installing it.
"""

from __future__ import annotations

import argparse
import functools
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mgsv.annotate import AnnotateOptions, LandmarkIndex, annotate, locate
from mgsv.annotate.annotate import AnnotatedMoment
from mgsv.errors import MgsvError
from mgsv.library.fingerprints import TrackFingerprint, open_fingerprints
from mgsv.library.walk import find_music, plain
from mgsv.media.audio import Audio, probe_audio, read_audio
from mgsv.media.landmarks import RATE

Floats = npt.NDArray[np.float32]
SOUND_RATE = 44_100
TEXT = (
    "today we walk along the river and cook something simple while nobody watches the new kitchen "
    "looks bright so let me show you how this works before the rain comes back over the hills"
)
FOREGROUNDS: Sequence[tuple[str, float]] = (
    ("none", 0.0),
    *((kind, level) for kind in ("speech", "effects") for level in (-6.0, 0.0, 6.0)),
)
NEAR = 0.02  # seconds a start may be off by
SAME = 0.99  # correlation from which on two places have the same audio


@dataclass(frozen=True)
class Case:
    """A made-up video. level: of the foreground over the music, dB. speed: track over video."""

    path: Path
    track: Path
    start: float
    seconds: float
    foreground: str
    level: float
    faded: bool
    speed: float


class Maker:
    """Makes videos from tracks, the same ones for the same seed; those that stand are kept."""

    def __init__(self, folder: Path, effects: Sequence[Path], seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._seed = seed
        self._effects = [read_audio(path, SOUND_RATE).samples for path in effects]
        self._made = 0

    def make(
        self, track: Path, foreground: str, level: float, *, plain_speed: bool, longest: float = 40
    ) -> Case:
        self._made += 1
        # Of its own, so that a video that stands need not be made again for the next one's sake.
        rng = np.random.default_rng([self._seed, self._made])
        path = self._folder / f"{self._made:04d}-{self._seed}-{track.stem}.mp4"
        speed = 1.0 if plain_speed else float(rng.choice([0.99, 1.01]))
        whole = decoded(track)
        most = min(longest, whole.duration / speed - 0.1)
        seconds = float(rng.uniform(min(8.0, most), most))
        first = round(rng.uniform(0, whole.duration - seconds * speed) * SOUND_RATE)
        faded = bool(rng.integers(2))
        case = Case(path, track, first / SOUND_RATE, seconds, foreground, level, faded, speed)
        if path.exists():
            return case
        samples = whole.samples[first:]
        at = np.arange(round(seconds * SOUND_RATE)) * speed
        music = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
        if faded:
            for end in (music, music[::-1]):
                count = round(float(rng.uniform(0.3, 2.0)) * SOUND_RATE)
                end[:count] *= np.linspace(0, 1, count, dtype=np.float32)
        sound = music + self._foreground(rng, foreground, level, music)
        sound *= 10 ** (rng.uniform(-15, 0) / 20) / max(1.0, float(np.abs(sound).max()))
        write_video(path, sound)
        return case

    def _foreground(
        self, rng: np.random.Generator, kind: str, level: float, music: Floats
    ) -> Floats | float:
        if kind == "none":
            return 0.0
        pieces: list[Floats] = []
        while sum(map(len, pieces)) < len(music):
            pieces.append(spoken(rng) if kind == "speech" else self._effect(rng))
            pieces.append(np.zeros(round(rng.uniform(0, 0.5) * SOUND_RATE), np.float32))
        sound = np.concatenate(pieces)[: len(music)]
        ratio = float(np.sqrt((music**2).mean() / max(float((sound**2).mean()), 1e-12)))
        return sound * np.float32(ratio * 10 ** (level / 20))

    def _effect(self, rng: np.random.Generator) -> Floats:
        return self._effects[int(rng.integers(len(self._effects)))]


def spoken(rng: np.random.Generator) -> Floats:
    """Some words by `espeak-ng`, at `SOUND_RATE`."""
    text = " ".join(rng.choice(TEXT.split(), 25))
    speed, pitch = str(rng.integers(130, 190)), str(rng.integers(20, 80))
    command = ["espeak-ng", "-s", speed, "-p", pitch, "--stdout", text]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(sound)) as file:
        rate = file.getframerate()
    # The header of a stream does not know its length.
    samples = np.frombuffer(sound[44:], "<i2").astype(np.float32) / 32768
    at = np.arange(len(samples) * SOUND_RATE // rate) * rate / SOUND_RATE
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


@functools.lru_cache(maxsize=2)
def decoded(track: Path) -> Audio:
    return read_audio(track, SOUND_RATE)


def write_video(path: Path, sound: Floats) -> None:
    """A plain picture with `sound` as mono AAC at 64 kb/s."""
    unfinished = path.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4") as output:
        picture = output.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        stream = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
        stream.bit_rate = 64_000
        for index in range(-(-2 * len(sound) // SOUND_RATE)):
            image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            image.pts, image.time_base = index, Fraction(1, 2)
            output.mux(picture.encode(image))
        output.mux(picture.encode(None))
        for place in range(0, len(sound), 1024):
            block = np.ascontiguousarray(sound[None, place : place + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE, place
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    unfinished.rename(path)


@dataclass(frozen=True)
class Outcome:
    """What was found for one case. error: seconds, of the start; as_good: at the same audio."""

    case: Case
    found: AnnotatedMoment | None
    right: bool
    error: float
    as_good: bool


def judge(case: Case, found: Sequence[AnnotatedMoment]) -> Outcome:
    """The longest of a video's moments counts."""
    if not found:
        return Outcome(case, None, False, np.inf, False)
    best = max(found, key=lambda one: one.match.video.duration)
    match = best.match
    right = case.track in (match.track.path, *match.track.copies)
    # Of the place itself, whether or not the found part begins with the video.
    error = abs(match.music.start - match.speed * match.video.start - case.start)
    as_good = right and (error <= NEAR or _same_audio(case, match.music.start - case.start))
    return Outcome(case, best, right, error, as_good)


def _same_audio(case: Case, apart: float) -> bool:
    samples = decoded(case.track).samples
    count = round(case.seconds * SOUND_RATE) - 200
    here = samples[round(case.start * SOUND_RATE) :][:count]
    for shift in range(-100, 101):
        begin = round((case.start + apart) * SOUND_RATE) + shift
        there = samples[max(begin, 0) :][: len(here)]
        if len(there) == len(here) and np.corrcoef(here, there)[0, 1] >= SAME:
            return True
    return False


def report(name: str, outcomes: Iterable[Outcome]) -> None:
    some = list(outcomes)
    right = [one for one in some if one.right]
    good = sum(one.as_good for one in right)
    exact = [1000 * one.error for one in right if one.error <= NEAR]
    print(
        f"{name:28} {len(some):5} {100 * len(right) / max(len(some), 1):7.1f} %"
        f" {100 * good / max(len(right), 1):7.1f} % {np.median(exact) if exact else np.nan:9.3f}"
        f" {max(exact, default=np.nan):9.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of mgsv annotate.")
    for name in ("music", "foreign", "effects"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--uses", type=int, default=200)
    parser.add_argument("--others", type=int, default=300)
    parser.add_argument("--hard", type=int, default=60, help="uses under a very loud foreground")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the videos here, and go on")
    given = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is missing: install the package of this name")
    music, foreign = readable(given.music, 10.0), readable(given.foreign, 10.0)
    effects = readable(given.effects, 0.2)
    if len(music) < 40:
        raise SystemExit(f"--music holds {len(music)} tracks of 10 s and more; 40 are needed")
    if not foreign or not effects:
        raise SystemExit("--foreign or --effects holds no readable sound")
    print(f"library: {len(music)} tracks; foreign: {len(foreign)}; effects: {len(effects)}\n")
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as scratch:
        folder = Path(scratch)
        maker = Maker(given.keep or folder / "videos", effects, given.seed)
        rng = np.random.default_rng(given.seed)

        def cases(tracks: Sequence[Path], count: int) -> list[Case]:
            # Each track as often as the others, conditions in turn, one track after the other.
            turns = sorted((i % len(tracks), i) for i in range(count))
            return [
                maker.make(
                    tracks[turn], *FOREGROUNDS[i % len(FOREGROUNDS)], plain_speed=i % 10 != 9
                )
                for turn, i in turns
            ]

        uses, others = cases(music, given.uses), cases(foreign, given.others)
        hard = [
            maker.make(
                music[i * len(music) // given.hard],
                "speech" if i % 2 else "effects",
                float(rng.uniform(12, 30)),
                plain_speed=True,
                longest=12,
            )
            for i in range(given.hard)
        ]
        prints = indexed(given.music, folder)
        found = run(given.music, folder, [*uses, *others, *hard])
        table([judge(case, found(case)) for case in uses])
        false = [one for case in others for one in found(case) if one.match.confidence >= 0.5]
        print(f"\nforeign videos: {len(others)}, with a false track: {len(false)}")
        reliability([judge(case, found(case)) for case in hard])
        locating(prints, uses, others)


def readable(folders: Sequence[Path], least: float) -> list[Path]:
    """The files that open, of at least so many seconds; some packages hold damaged ones."""
    good = []
    for found in find_music([plain(folder) for folder in folders]):
        path = Path(os.fsdecode(found.path))
        try:
            if probe_audio(path).duration >= least:
                good.append(path)
        except MgsvError:
            print(f"left out: {path.name} cannot be read", file=sys.stderr)
    return good


def run(
    music: Sequence[Path], folder: Path, cases: Sequence[Case]
) -> Callable[[Case], list[AnnotatedMoment]]:
    """What one run of `annotate` over all videos finds for each, however unsure."""
    videos = [case.path for case in cases]
    result = annotate(
        videos,
        music,
        folder / "uses.csv",
        folder=folder / "lib",
        options=AnnotateOptions(min_confidence=0.0),
        overwrite=True,
    )
    by_path: dict[Path, list[AnnotatedMoment]] = {}
    for one in result.found:
        by_path.setdefault(one.path, []).append(one)
    return lambda case: by_path.get(case.path, [])


def table(outcomes: Sequence[Outcome]) -> None:
    print(f"{'':42} {'start ok':>8}  {'error of the near ones, ms':>19}")
    print(f"{'uses':28} {'n':>5} {'track':>9} {'of these':>9} {'median':>9} {'largest':>9}")
    for kind, level in FOREGROUNDS:
        name = kind if kind == "none" else f"{kind}, {level:+.0f} dB over the music"
        report(name, (o for o in outcomes if (o.case.foreground, o.case.level) == (kind, level)))
    report("faded in and out", (o for o in outcomes if o.case.faded))
    report("shorter than 15 s", (o for o in outcomes if o.case.seconds < 15))
    report("1 % faster or slower", (o for o in outcomes if o.case.speed != 1))
    report("at the track's own speed", (o for o in outcomes if o.case.speed == 1))
    report("all", outcomes)
    for one in outcomes:
        if not one.as_good:
            case, match = one.case, one.found.match if one.found else None
            print(
                f"  missed: {case.track.name} at {case.start:.2f} for {case.seconds:.1f} s,"
                f" {case.foreground} {case.level:+.0f} dB, speed {case.speed}:"
                f" {f'{match.track.path.name} {match.music}' if match else 'no track'}"
            )


def reliability(outcomes: Sequence[Outcome]) -> None:
    """Whether the confidence means what it says, where there is little to hear."""
    print("\nforeground 12 to 30 dB over the music, 8 to 12 s")
    print(f"{'confidence':28} {'n':>5} {'right':>9}")
    for low, high in ((0.0, 0.5), (0.5, 0.95), (0.95, 1.01)):
        some = [o for o in outcomes if o.found and low <= o.found.match.confidence < high]
        share = f"{100 * sum(o.as_good for o in some) / len(some):.1f} %" if some else "-"
        print(f"{f'{low:g} to {min(high, 1):g}':28} {len(some):5} {share:>9}")
    print(f"{'no track':28} {sum(o.found is None for o in outcomes):5}")


def indexed(music: Sequence[Path], folder: Path) -> list[TrackFingerprint]:
    start = time.perf_counter(), time.process_time()
    prints, _ = open_fingerprints([plain(path) for path in music], folder / "lib")
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    total = sum(track.seconds for track in prints)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print(
        f"indexing {len(prints)} tracks, {total / 60:.0f} min, decoding included: {wall:.1f} s"
        f" ({cpu:.1f} s of CPU), {total / wall:.0f} times real time ({total / cpu:.0f} per core)\n"
    )
    return prints


def locating(
    prints: Sequence[TrackFingerprint], uses: Sequence[Case], others: Sequence[Case]
) -> None:
    many, turn = [], 0
    while len(many) < 1000:
        # Copies of the landmarks, time and pitch scaled by up to 15 %.
        scale = 1.0 if turn == 0 else 0.85 + 0.3 * ((turn * 0.618) % 1)
        for track in prints:
            samples = round(track.samples * scale)
            many.append(replace(track, samples=samples, peaks=track.peaks.at_speed(scale)))
        turn += 1
    start = time.perf_counter()
    index = LandmarkIndex(many[:1000])
    taken = time.perf_counter() - start
    hours = sum(track.seconds for track in many[:1000]) / 3600
    print(f"the table of 1,000 tracks ({hours:.0f} h; {len(prints)} real, the others time-scaled")
    print(f"  copies of their landmarks), {len(index):,} entries: {taken:.1f} s")
    for name, cases in (("in the library", uses), ("foreign", others)):
        wall, cpu = [], []
        for case in [case for case in cases if case.seconds >= 30][:20]:
            start, busy = time.perf_counter(), time.process_time()
            samples = read_audio(case.path, RATE).samples[: 30 * RATE]
            locate(index, samples)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
        if wall:
            print(
                f"locating 30 s in these, decoding included, {name} ({len(wall)} videos):"
                f" median {np.median(wall):.2f} s ({np.median(cpu):.2f} s of CPU),"
                f" slowest {max(wall):.2f} s ({max(cpu):.2f} s of CPU)"
            )


if __name__ == "__main__":
    main()

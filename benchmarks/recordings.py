"""How surely one recording in several files is distinguished from other tracks.

    python benchmarks/recordings.py [--music DIR …] [--tracks N]

Each track is encoded anew in the usual formats, made louder and softer, delayed and trimmed: these
must count as one recording with it. Played 1 % faster, or with the next track on top as a voice
would be, it must not, nor may any two different tracks. Two likenesses decide, of the curves that a
library keeps and of the waveforms (see `mgsv.library.recordings`); the table shows how near each
kind comes to the thresholds. By default on the tracks of `make demo`.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mgsv.demo import demo_music
from mgsv.library.recordings import CURVES_ALIKE, HEARD, SAME_LENGTH, WAVES_ALIKE
from mgsv.library.walk import find_music, plain
from mgsv.media.audio import read_audio
from mgsv.media.likeness import WAVE_RATE, Curves, wave_likeness
from mgsv.media.rhythm import analyse_rhythm

Samples = npt.NDArray[np.float32]
RATE = 48_000
# ending, encoder, bits per second
FORMATS = (
    *(("mp3", "libmp3lame", rate) for rate in (64_000, 128_000, 320_000)),
    *(("opus", "libopus", rate) for rate in (48_000, 96_000)),
    *(("m4a", "aac", rate) for rate in (64_000, 128_000)),
    ("flac", "flac", 0),
)


@dataclass(frozen=True)
class Sound:
    """What is compared of a file."""

    seconds: float
    curves: Curves
    wave: Samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--music", type=Path, nargs="+", default=demo_music())
    parser.add_argument("--tracks", type=int, help="only the first so many")
    options = parser.parse_args()
    found = find_music([plain(path) for path in options.music])
    paths = [Path(item.path.decode()) for item in found if not item.may_be_video][: options.tracks]
    table: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    originals = []
    with tempfile.TemporaryDirectory() as folder:
        for path, following in zip(paths, paths[1:] + paths[:1], strict=True):
            original = heard(path)
            originals.append(original)
            for kind, version in versions(path, following, Path(folder)):
                table[kind].append(likeness(original, heard(version)))
    begun = time.perf_counter()
    for one, other in itertools.combinations(originals, 2):
        table["different tracks"].append(likeness(one, other))
    seconds = time.perf_counter() - begun
    print(
        f"{len(paths)} tracks, one recording from {CURVES_ALIKE} (curves) and {WAVES_ALIKE} (waves)"
    )
    print(f"{'':34} {'pairs':>5}  {'curves':>14}  {'waves':>14}  one recording")
    for kind, pairs in table.items():
        curves = [pair[0] for pair in pairs]
        waves = [pair[1] for pair in pairs if pair[1] is not None]
        same = sum(wave is not None and wave >= WAVES_ALIKE for _, wave in pairs)
        share = f"{100 * same / len(pairs):.0f} %"
        print(f"{kind:34} {len(pairs):5}  {span(curves)}  {span(waves)}  {share:>5}")
    print(f"{1000 * seconds / len(table['different tracks']):.2f} ms per pair of different tracks")


def versions(path: Path, following: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """(kind, file) of everything that is made of a track."""
    samples = read_audio(path, RATE).samples
    voice = np.resize(read_audio(following, RATE).samples, len(samples))
    voice *= loudness(samples) / loudness(voice)
    for ending, encoder, bits in FORMATS:
        kind = f"{ending} {bits // 1000} kb/s" if bits else ending
        yield kind, write(folder / f"version.{ending}", samples, encoder, bits)
    at = np.arange(0, len(samples) - 1, 1.01)
    changed = {
        "wav, +6 dB": 2 * samples,
        "wav, -6 dB": samples / 2,
        "wav, 37.3 ms later": np.pad(samples, (round(0.0373 * RATE), 0)),
        "wav, the first 1.2345 s cut off": samples[round(1.2345 * RATE) :],
        "1 % faster": np.interp(at, np.arange(len(samples)), samples),
        **{
            f"the next track on top, {level} dB": samples + 10 ** (level / 20) * voice
            for level in (0, -6, -12)
        },
    }
    for kind, version in changed.items():
        yield kind, write(folder / "version.wav", version.astype(np.float32), "pcm_f32le", 0)


def write(path: Path, samples: Samples, encoder: str, bits: int) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(encoder, rate=RATE)
        assert isinstance(stream, av.audio.AudioStream)
        stream.layout = "mono"
        if bits:
            stream.bit_rate = bits
        for start in range(0, len(samples), 1024):
            block = np.ascontiguousarray(samples[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def heard(path: Path) -> Sound:
    audio = read_audio(path)
    rhythm = analyse_rhythm(audio.samples)
    # As a library keeps them.
    curves = Curves(rhythm.onset.astype(np.float16), rhythm.energy.astype(np.float16))
    return Sound(audio.duration, curves, read_audio(path, WAVE_RATE, seconds=HEARD).samples)


def likeness(one: Sound, other: Sound) -> tuple[float, float | None]:
    """Of the curves, and of the waveforms where the curves call for them."""
    shorter, longer = sorted((one.seconds, other.seconds))
    curves = one.curves.likeness(other.curves)
    if shorter < SAME_LENGTH * longer or curves < CURVES_ALIKE:
        return curves, None
    return curves, wave_likeness(one.wave, other.wave, one.curves.lag(other.curves))


def loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def span(values: list[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}" if values else f"{'-':>14}"


if __name__ == "__main__":
    main()

"""How the music steps back under speech, and only there.

    python benchmarks/voices.py MUSIC SOUNDS [--tracks 20] [--first 0] [--noise-below 12]
        [--sung fronted]

MUSIC is a folder of tracks, SOUNDS one with recordings whose names hold wind, rain or the like
(Debian's games have such; subfolders count). Applause and traffic are made here: bursts of noise,
200 a second, and low noise with passing engines. Speech is espeak-ng's, in five languages and two
voices; the program must be installed. Needs mgsv[voices].

1. The detector: how much of each noise, of music alone, and of speech in noise and under music, is
   taken for speech; with `--sung`, how much of the tracks whose genre holds that word is, which
   would be their sung phrases.
2. Ducking, as a render does it: a clip's sound of 40 s with noise throughout (`--noise-below` dB
   below the speech) and speech from 10 to about 20 s, under a track, at each depth. The mix is
   taken apart
   again by least squares, a tenth of a second at a time, since both parts are known. Printed are
   the speech-to-music ratio (mean power while somebody speaks) and the mean gain of the music more
   than 2 s from it, against the same clip where nobody speaks.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mgsv.media.audio import read_audio
from mgsv.media.pieces import Arrangement
from mgsv.media.sound import RATE, block_of
from mgsv.media.soundtrack import SoundOptions, mixed
from mgsv.media.tags import read_tags
from mgsv.media.voices import DEPTHS, Duck, find_speech
from mgsv.moment import Moment

VOICES = [f"{language}+{voice}" for language in ("en-gb", "en-us", "de", "fr", "es")
          for voice in ("m3", "f2")]  # fmt: skip
TEXT = (
    "Good morning everybody, and welcome to our little workshop. Today we look at how bread is made"
    " at home. First you need flour, water, salt and some patience."
)
NOISES = ("wind", "rain", "storm", "water", "crowd", "traffic", "applause")
SECONDS, BEGIN, APART = 40.0, 10.0, 2.0
LEVEL = 0.1
STEP = RATE // 10

Wave = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("music", type=Path)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--tracks", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="which file of MUSIC to begin with")
    parser.add_argument("--noise-below", type=float, default=12.0)
    parser.add_argument("--sung", help="a word in the genre of tracks with singers")
    parser.add_argument("--ducking-alone", action="store_true")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    speech = [spoken(voice) for voice in VOICES]
    noises = {"applause (made)": applause(random), "traffic (made)": traffic(random)}
    for path in sorted(given.sounds.rglob("*")):
        if path.suffix in (".ogg", ".wav") and any(n in path.name.lower() for n in NOISES):
            sound = read_audio(path, RATE).samples
            if len(sound) > 2 * RATE and level_of(sound) > 1e-4:
                noises[path.name] = sound
    files = sorted(given.music.iterdir())[given.first :]
    tracks = [
        path
        for path in files[:: max(1, len(files) // (2 * given.tracks))]
        if len(read_audio(path, 8_000).samples) > 8_000 * SECONDS
    ][: given.tracks]
    print(f"{len(noises)} noises, {len(tracks)} tracks, {len(speech)} voices")
    if given.sung:
        sung(sorted(given.music.iterdir()), given.sung)
    if not given.ducking_alone:
        detector(speech, noises, tracks)
    ducking(speech, list(noises.values()), tracks, given.noise_below)


def detector(speech: list[Wave], noises: dict[str, Wave], tracks: list[Path]) -> None:
    alone = [share(repeated(noise, 20.0)) for noise in noises.values()]
    print(f"noise taken for speech: mean {np.mean(alone):.1%}, most {np.max(alone):.1%}")
    music = [read_audio(path, RATE).samples[: round(SECONDS * RATE)] for path in tracks]
    alone = [share(levelled(one)) for one in music]
    print(f"music taken for speech: mean {np.mean(alone):.1%}, most {np.max(alone):.1%}")
    print(f"speech alone found: {np.mean([share(levelled(one)) for one in speech]):.0%}")
    kinds = (("noise", list(noises.values())), ("music", music))
    for name, sounds in kinds:
        for ratio in (12, 6, 0, -6):
            found = []
            for number, sound in enumerate(sounds):
                voice = levelled(speech[number % len(speech)])
                bed = levelled(repeated(sound, len(voice) / RATE)) * 10 ** (-ratio / 20)
                found.append(share(voice + bed))
            print(f"speech {ratio:+d} dB over {name} found: {np.mean(found):.0%}")


def sung(files: list[Path], genre: str) -> None:
    found = [
        share(levelled(read_audio(path, RATE, seconds=120.0).samples))
        for path in files
        if genre in read_tags(path).get("genre", "").lower()
    ]
    print(
        f"{len(found)} tracks with singers, taken for speech: mean {np.mean(found):.1%}, "
        f"most {np.max(found):.1%}"
    )


def ducking(speech: list[Wave], noises: list[Wave], tracks: list[Path], noise_below: float) -> None:
    ducks: tuple[Duck, ...] = ("clear", *DEPTHS)
    for duck in ducks:
        ratios, gains = [], []
        for number, track in enumerate(tracks):
            voice = levelled(speech[number % len(speech)])
            noise = levelled(repeated(noises[number % len(noises)], SECONDS))
            own = noise * 10 ** (-noise_below / 20)
            first = round(BEGIN * RATE)
            alone = np.zeros_like(own)
            alone[first : first + len(voice)] = voice
            ratio, gain = taken_apart(own + alone, alone, track, SoundOptions(True, duck))
            ratios.append(ratio)
            gains.append(gain)
        print(
            f"{duck}: speech over music {np.mean(ratios):.1f} dB, least"
            f" {np.min(ratios):.1f}; gain elsewhere {np.mean(gains):+.2f} dB, at most"
            f" {np.max(np.abs(gains)):.2f}"
        )


def taken_apart(own: Wave, voice: Wave, track: Path, options: SoundOptions) -> tuple[float, float]:
    """(dB of the speech over the music while somebody speaks, dB of the music elsewhere)."""
    bed = sound_of(own, track, SoundOptions())
    scale, gain = parts_of(sound_of(own, track, options), own, bed)
    _, normal = parts_of(sound_of(own - voice, track, options), own - voice, bed)
    spoken = np.flatnonzero(voice)[[0, -1]] / RATE
    time = (np.arange(len(gain)) + 0.5) * STEP / RATE
    power = np.mean(bed[: len(gain) * STEP].reshape(len(gain), -1) ** 2, axis=1)
    heard = power > 1e-6
    away = ((time < spoken[0] - APART) | (time > spoken[1] + APART)) & heard
    elsewhere = 20 * np.log10(np.mean(gain[away]) / np.mean(normal[away]))
    inside = (time > spoken[0]) & (time < spoken[1])
    loud = np.median(scale) ** 2 * np.mean(voice[voice != 0] ** 2)
    ratio = 10 * np.log10(loud / np.mean(gain[inside] ** 2 * power[inside]))
    return float(ratio), float(elsewhere)


def sound_of(own: Wave, track: Path, options: SoundOptions) -> Wave:
    """[N, 2] of a clip with the sound `own` and the beginning of `track`, before mastering."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mkv")
        write(clip, own)
        music = Arrangement.of(Moment(0.0, SECONDS))
        mix, _ = mixed(
            clip, track, music, origin=0.0, samples=len(own), options=options, scratch=io.BytesIO
        )
        return mix.between(0, len(own))


def parts_of(out: Wave, own: Wave, bed: Wave) -> tuple[Wave, Wave]:
    """Gains of `own` and `bed` in `out`, per `STEP`, by least squares."""
    both = np.repeat(own[:, None], 2, axis=1)
    found = []
    for at in range(0, len(own) - STEP + 1, STEP):
        rows = slice(at, at + STEP)
        columns = np.stack([both[rows].ravel(), bed[rows].ravel()], axis=1)
        found.append(np.linalg.lstsq(columns, out[rows].ravel(), rcond=None)[0])
    scale, gain = np.abs(np.array(found)).T
    return scale, gain


def share(sound: Wave) -> float:
    """Of the time that is taken for speech."""
    frames = (block_of(part, 0) for part in pieces(sound))
    return sum(end - start for start, end in find_speech(frames)) / (len(sound) / RATE)


def pieces(sound: Wave):
    stereo = np.repeat(sound[:, None], 2, axis=1).astype(np.float32)
    return (stereo[at : at + RATE] for at in range(0, len(stereo), RATE))


def spoken(voice: str) -> Wave:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", path, TEXT], check=True)
        return read_audio(path, RATE).samples


def applause(random: np.random.Generator, seconds: float = 20.0) -> Wave:
    sound = np.zeros(round(seconds * RATE))
    time = np.arange(RATE // 50) / RATE
    for at in random.integers(0, len(sound) - len(time), round(seconds * 200)):
        clap = random.normal(0, 1, len(time)) * np.exp(-time * random.uniform(150, 400))
        sound[at : at + len(time)] += clap * random.uniform(0.2, 1)
    return sound.astype(np.float32)


def traffic(random: np.random.Generator, seconds: float = 20.0) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    low = np.cumsum(random.normal(0, 1, len(time)))
    low -= np.convolve(low, np.ones(RATE // 20) / (RATE // 20), "same")
    engine = sum(np.sin(2 * np.pi * 85 * k * time) / k for k in range(1, 9))
    passing = sum(np.exp(-(((time - at) / 1.2) ** 2)) for at in random.uniform(0, seconds, 5))
    return ((0.3 + passing) * (low / low.std() + 0.3 * engine)).astype(np.float32)


def level_of(sound: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 0.0


def levelled(sound: Wave) -> Wave:
    return np.asarray(sound * (LEVEL / max(level_of(sound), 1e-9)), np.float32)


def repeated(sound: Wave, seconds: float) -> Wave:
    count = round(seconds * RATE)
    return np.resize(sound, count)


def write(path: Path, sound: Wave) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE)
        stream.layout = "mono"
        for at in range(0, len(sound), RATE):
            part = np.clip(sound[at : at + RATE], -1, 1)
            frame = av.AudioFrame.from_ndarray(
                (part[None] * 32767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()

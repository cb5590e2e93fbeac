"""Render MIDI files of free games, whose beats and bars are known, to measure counting on.

    python recipes/bars.py FOLDER           # a second run makes what is missing

Takes Debian packages as recipes/corpus.py does (run `apt-get update` first); `fluidsynth` and the
sound font of `timgm6mb-soundfont` must be installed. FOLDER then holds `audio/` and `pieces.json`:
each piece's package, style, half (`tuning` or `reporting`; a whole package is in one), beats and
first beats of bars, in seconds.

Beats and bars are what the tempo map and time signatures say; 4/4 where a file names none. Left out
are files of less than 30 s or more than 10 minutes, and those that were not played to their own
clock: where fewer than three quarters of the notes lie within 1/32 of a beat of its sixteenths and
triplets (38 % would by chance). Styles are accompaniments by `mma`, one for each file of its
library, over chords, at a tempo drawn from the file's name.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np

from gathering.bars import Piece, write_pieces
from gathering.midi import MidiError, Score, bars_of, read_midi
from gathering.packages import PackageError, fetch_debian, members
from gathering.sources import Source
from mgsv.errors import MgsvError

SOUND_FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
RATE = 22_050
SHORTEST, LONGEST = 30.0, 600.0
EXCERPT = 90.0
"""Seconds of each piece that are rendered."""
GRID_REACH = 1 / 32
"""Beats from a sixteenth or triplet within which a note is on it."""
ON_GRID = 0.75
HALVES = {
    "openttd-openmsx": "tuning",
    "freedoom": "tuning",
    "pianobooster": "tuning",
    "simutrans-data": "reporting",
}
STYLES = "mma"
STYLE_HALVES = {"stdlib": "reporting"}
"""Folders of the styles' library, by other authors; the others are for tuning."""
STYLE_SECONDS = 60.0
CHORDS = ("C Am F G", "Am F C G", "C C F F C G C C", "Dm7 G7 CM7 A7", "Em C G D", "C F C G7")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render pieces with known beats and bars.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made if missing")
    options = parser.parse_args(arguments)
    try:
        pieces = list(_gather(options.folder))
    except MgsvError as error:
        print(f"bars: {error}", file=sys.stderr)
        return 1
    write_pieces(options.folder, pieces)
    print(f"{len(pieces)} pieces")
    return 0


def _gather(folder: Path) -> Iterator[Piece]:
    if shutil.which("fluidsynth") is None or not SOUND_FONT.exists():
        raise PackageError(
            "fluidsynth or its sound font is missing",
            "apt-get install fluidsynth timgm6mb-soundfont",
        )
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    for package, half in HALVES.items():
        for name, data in _songs(_fetched(package, folder)):
            yield from _piece(folder, package, half, "", name, data)
    with tempfile.TemporaryDirectory(prefix="bars-") as scratch:
        for library, style, data in _styles(_fetched(STYLES, folder), Path(scratch)):
            half = STYLE_HALVES.get(library, "tuning")
            name = f"{library}-{style}"
            yield from _piece(folder, f"{STYLES}-{library}", half, style, name, data)


def _piece(
    folder: Path, package: str, half: str, style: str, name: str, data: bytes
) -> Iterator[Piece]:
    try:
        score = read_midi(data)
        beats, downbeats, metre = truth(score)
    except MidiError as error:
        print(f"{package} {name}: left out ({error.problem})", file=sys.stderr)
        return
    seconds = score.seconds(score.end)
    if not SHORTEST <= seconds <= LONGEST or grid_share(score) < ON_GRID:
        return
    id = f"{package}-{name}"
    audio = f"audio/{id}.wav"
    render(data, folder / audio)
    yield Piece(id, package, half, style or metre, metre, audio, beats, downbeats)


def truth(score: Score) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """(beats, first beats of bars, the metre that most bars have) of a score, in seconds.

    From the first note's beat to the last note's, within the first `EXCERPT` seconds.
    """
    beats: list[float] = []
    downbeats: list[float] = []
    counts: dict[str, int] = {}
    first, last = score.notes[0].tick, score.notes[-1].tick
    for start, step, count in bars_of(score):
        ticks = [start + step * beat for beat in range(count)]
        heard = [tick for tick in ticks if first - step < tick <= last]
        beats += [score.seconds(tick) for tick in heard]
        downbeats += [score.seconds(tick) for tick in heard[:1] if tick == start]
        compound = step * 2 == score.quarter * 3
        metre = f"{3 * count}/8" if compound else f"{count}/{4 * score.quarter // step}"
        counts[metre] = counts.get(metre, 0) + 1
    beats, downbeats = ([at for at in times if at < EXCERPT] for times in (beats, downbeats))
    return tuple(beats), tuple(downbeats), max(counts, key=lambda metre: counts[metre])


def grid_share(score: Score) -> float:
    """The share of the notes that lie on a sixteenth or a triplet of a quarter note."""
    places = [note.tick % score.quarter / score.quarter for note in score.notes]
    near = [min(abs(at * n - round(at * n)) / n for n in (3, 4)) for at in places]
    return sum(distance <= GRID_REACH for distance in near) / len(near)


def render(data: bytes, audio: Path) -> None:
    """Play the first `EXCERPT` seconds of a MIDI file into a mono WAV file, unless that exists."""
    if audio.exists():
        return
    wanted = round(EXCERPT * RATE) * 4  # bytes of two channels of 16 bits
    with tempfile.NamedTemporaryFile(suffix=".mid") as file:
        file.write(data)
        file.flush()
        command = ["fluidsynth", "-ni", "-q", "-r", str(RATE), "-g", "0.5", "-T", "raw"]
        command += ["-O", "s16", "-F", "/dev/stdout", str(SOUND_FONT), file.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as player:
            assert player.stdout is not None
            played = player.stdout.read(wanted)
            player.kill()
    if not played:
        raise PackageError(f"{audio.stem}: fluidsynth plays nothing", "try the file by hand")
    stereo = np.frombuffer(played[: len(played) // 4 * 4], "<i2").reshape(-1, 2)
    passing = audio.with_name(f".{audio.name}.part")
    with wave.open(str(passing), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((stereo.sum(axis=1, dtype=np.int32) // 2).astype("<i2").tobytes())
    passing.replace(audio)


def _fetched(package: str, folder: Path) -> Path:
    scratch = folder / "packages" / package
    scratch.mkdir(parents=True, exist_ok=True)
    return fetch_debian(Source(package), scratch)


def _songs(package: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each MIDI file of a package: the first of each name and content."""
    seen: set[bytes | str] = set()
    for path, _, stream in members(package):
        for name, data in _inside(PurePosixPath(path), stream.read):
            if data not in seen and name not in seen:
                seen |= {data, name}
                yield name, data


def _inside(path: PurePosixPath, read: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
    """The MIDI files that a file of a package is or holds, as a ZIP archive or game data (WAD)."""
    kind = path.suffix.lower()
    if kind == ".mid":
        yield path.stem, read()
    elif kind == ".zip":
        with zipfile.ZipFile(BytesIO(read())) as archive:
            for entry in archive.namelist():
                if entry.lower().endswith(".mid"):
                    yield PurePosixPath(entry).stem, archive.read(entry)
    elif kind == ".wad":
        yield from ((f"{path.stem}-{name}", data) for name, data in lumps(read()))


def lumps(wad: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each MIDI file in a WAD: a list of (offset, size, name of 8 bytes)."""
    count, directory = struct.unpack_from("<II", wad, 4)
    for number in range(count):
        offset, size, name = struct.unpack_from("<II8s", wad, directory + 16 * number)
        if wad[offset : offset + 4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii"), wad[offset : offset + size]


def _styles(package: Path, scratch: Path) -> Iterator[tuple[str, str, bytes]]:
    """(library, style, bytes) of a made-up accompaniment in each style of `mma`."""
    subprocess.run(["dpkg-deb", "-x", str(package), str(scratch)], check=True)
    home = scratch / "usr" / "share" / "mma"
    environment = {**os.environ, "MMA_HOME": str(home), "HOME": str(scratch)}
    for path in sorted((home / "lib").glob("*/*.mma")):
        library, style = path.parent.name, path.stem
        groove = first_groove(path.read_text("latin-1"))
        if groove is None or style.startswith(("metronome", "none")):
            continue
        song, target = scratch / "song.mma", scratch / "song.mid"
        target.unlink(missing_ok=True)
        song.write_text(_song(f"{library}/{style}", groove), "latin-1")
        subprocess.run(
            [sys.executable, str(scratch / "usr/bin/mma"), "-f", str(target), str(song)],
            env=environment,
            capture_output=True,
            check=False,
        )
        if target.exists():
            yield library, style, target.read_bytes()


def first_groove(text: str) -> str | None:
    """The name of the first groove that a style's file defines."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].lower() == "defgroove":
            return words[1]
    return None


def _song(style: str, groove: str) -> str:
    """A song of `STYLE_SECONDS` in the language of `mma`, drawn from the style's name."""
    drawn = hashlib.sha256(style.encode()).digest()
    tempo = 80 + 2 * (drawn[0] % 40)
    chords = CHORDS[drawn[1] % len(CHORDS)].split()
    bars = int(STYLE_SECONDS * tempo / 60 / 3)
    lines = [f"{bar + 1} {chords[bar % len(chords)]}" for bar in range(bars)]
    return "\n".join([f"Tempo {tempo}", f"Use {style}", f"Groove {groove}", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())

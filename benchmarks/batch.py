"""What a batch costs beyond decoding and rendering its clips.

    python benchmarks/batch.py CLIPS --library DIR [--music FOLDER] [--clips 100] [--tracks 1000]

CLIPS: a folder of videos, of which copies are made until there are enough. --library: one with
enough tracks whose files are there, or --music to index. Prints the seconds of the whole batch, of
decoding and rendering the same clips with the same music in as many threads, and how often tracks
were used. Both run on what the machine has read already. Seconds are the clock's, and the
processor's of this process and its decoders, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from mgsv.errors import ConfigError
from mgsv.grounding import Session
from mgsv.grounding.batch import BatchReport, find_clips, ground_clips
from mgsv.grounding.batch.assign import most_uses
from mgsv.jobs import Threads
from mgsv.library import Library
from mgsv.media import isolated
from mgsv.moment import Moment


def make_clips(source: Path, folder: Path, count: int) -> Path:
    """`count` files, the clips in `source` again and again."""
    folder.mkdir()
    clips = find_clips([source])
    for number, clip in zip(range(count), itertools.cycle(clips), strict=False):
        shutil.copy(clip.path, folder / f"{number:03d}{clip.path.suffix}")
    return folder


class Stopwatch:
    """Seconds by the clock and of the processor since it was made; Linux."""

    def __init__(self) -> None:
        self._began = self._now()

    def read(self) -> tuple[float, float]:
        clock, processor = self._now()
        return clock - self._began[0], processor - self._began[1]

    @staticmethod
    def _now() -> tuple[float, float]:
        spent = sum(os.times()[:4])
        for children in Path("/proc/self/task").glob("*/children"):
            for child in children.read_text().split():
                times = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:15]
                spent += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), spent


def plain(report: BatchReport, folder: Path) -> tuple[float, float]:
    """Seconds of decoding each clip as a batch does, and rendering it with the same moment."""
    folder.mkdir()

    def decode(path: Path) -> None:
        for _ in isolated.VideoScan(path, shorter_side=224):
            pass

    def write(number: int) -> None:
        item = report[number]
        own = item.choice
        moment = Moment(own["start"], own["end"])
        isolated.render(item.clip, own["track"], moment, folder / f"{number}.mp4")

    watch = Stopwatch()
    with contextlib.closing(Threads().map(decode, [item.clip for item in report])) as outcomes:
        for decoded in outcomes:
            decoded.result()
    with contextlib.closing(Threads().map(write, range(len(report)))) as written:
        for one in written:
            one.result()
    return watch.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--tracks", type=int, default=1000)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mgsv-batch-") as place,
        Library.open(given.music, folder=given.library) as library,
    ):
        if len(tracks := library.tracks()) < given.tracks:
            raise ConfigError(f"the library has {len(tracks)} tracks, not {given.tracks}")
        clips = make_clips(given.source, Path(place) / "clips", given.clips)
        session = Session(library)
        first = find_clips([clips])[0].path
        session.ground(first)  # what ranking keeps of tracks is made once, at the first clip
        watch = Stopwatch()
        report = ground_clips(session, find_clips([clips], Path(place) / "out"))
        whole = watch.read()
        assert not report.failed, report.failed
        alone = plain(report, Path(place) / "plain")
        uses = Counter(item.choice["id"] for item in report)
        print(f"{given.clips} clips, {len(tracks)} tracks")
        for name, seconds, least in zip(("clock", "processor"), whole, alone, strict=True):
            print(
                f"{name}: {seconds:.1f} s; decoding and rendering alone {least:.1f} s; "
                f"{seconds / least:.2f} times that"
            )
        most = most_uses(given.clips, len(tracks))
        print(f"{len(uses)} tracks used, the most used {max(uses.values())} times ({most} allowed)")
        assert max(uses.values()) <= most


if __name__ == "__main__":
    main()

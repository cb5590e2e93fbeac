"""What is done with each damaged file, and what came of it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mgsv.annotate import AnnotateOptions, annotate
from mgsv.encoders.registry import MusicEncoder
from mgsv.errors import MgsvError
from mgsv.jobs import Progress, Threads
from mgsv.library import Library
from mgsv.media import isolated, timeline
from mgsv.media.audio import MAX_TRACK_SECONDS
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment

STAGES = ("probe", "decode", "render", "index", "annotate")
OUTCOMES = ("ok", "refused", "decoder crash", "decoder hang", "wrong", "traceback", "hang", "crash")
"""From best to worst. A decoder's crash or hang is contained and costs an error. The rest after
them are faults of `mgsv`: a result that makes no sense, an exception that is no `MgsvError`, and a
process that takes longer than `HANG` or dies."""
HANG = 20.0
"""Seconds."""
LONG = 600.0
"""Seconds of picture beyond which a file is not rendered: one that shows each picture for minutes
is no fault, and takes minutes to write."""

_EXCEPTION = re.compile(r"^(\w+\.)*\w*(Error|Exception|Warning|Interrupt|Exit|Iteration)\b: ")
_OS_ERRORS = {os.strerror(number).lower() for number in errno.errorcode}


class Result(NamedTuple):
    """What came of one file at one stage."""

    stage: str
    name: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Bench:
    """Undamaged files to work with, the encoder of the music, and a folder that stays empty."""

    clip: Path
    track: Path
    encoder: MusicEncoder
    folder: Path


class Wrong(Exception):
    """A result that makes no sense."""


def run(
    files: Sequence[Path], videos: Sequence[Path], bench: Bench, begun: Callable[[str, str], None]
) -> Iterator[Result]:
    """All stages for `files`; `videos` are those that should have a picture. The last stages take
    all files at once, as users do.

    begun: called with (stage, name) before a file's turn, or when it cannot be long until it.
    """
    for path in files:
        for stage, job in (("probe", _probe), ("decode", _decode), ("render", _render)):
            begun(stage, path.name)
            yield _result(stage, path, lambda job=job, path=path: job(path, path in videos, bench))
    yield from _index(files, bench, begun)
    yield from _annotate(files, videos, bench, begun)


def _result(stage: str, path: Path, job: Callable[[], object]) -> Result:
    start = time.monotonic()
    try:
        job()
        outcome, detail = "ok", ""
    except Wrong as wrong:
        outcome, detail = "wrong", str(wrong)
    except MgsvError as error:
        outcome, detail = (
            judged(str(error).partition(f"{path.name}: ")[2] or str(error)),
            str(error),
        )
    except Exception:
        outcome, detail = "traceback", traceback.format_exc()
    if time.monotonic() - start > HANG and outcome != "decoder hang":
        outcome, detail = "hang", f"{time.monotonic() - start:.0f} s; {outcome} {detail}"
    return Result(stage, path.name, outcome, detail)


def judged(reason: str) -> str:
    """The outcome that a reason given for a file stands for."""
    if "the decoder crashed" in reason:
        return "decoder crash"
    if "the decoder made no progress" in reason:
        return "decoder hang"
    return "traceback" if _EXCEPTION.match(reason) or reason in _OS_ERRORS else "refused"


def _probe(path: Path, is_video: bool, _: Bench) -> None:
    """What the file says of its picture and of its sound; either may be missing."""
    errors = []
    for probe in (isolated.probe_video, isolated.probe_audio):
        try:
            info = probe(path)
            _check(0 <= info.duration < 1e12, f"a duration of {info.duration}")
        except MgsvError as error:
            errors.append(error)
    if len(errors) == 2 or (errors and judged(str(errors[0])) != "refused"):
        raise errors[0 if is_video else -1]


def _decode(path: Path, is_video: bool, _: Bench) -> None:
    errors = []
    try:
        audio = isolated.read_audio(path)
        _check(len(audio.samples) > 0 and bool(np.isfinite(audio.samples).all()), "sound")
        _check(audio.duration <= MAX_TRACK_SECONDS + 60, f"{audio.duration:.0f} s of sound")
    except MgsvError as error:
        if not is_video or "it has no sound" not in str(error):
            errors.append(error)
    if is_video:
        try:
            _scan(path)
        except MgsvError as error:
            errors.append(error)
    if errors:
        raise max(errors, key=lambda error: OUTCOMES.index(judged(str(error))))


def _scan(path: Path) -> None:
    scan = isolated.VideoScan(path, 32)
    times = []
    for frame in scan:
        _check(min(frame.image.shape[:2]) == 32, f"a picture of {frame.image.shape}")
        times.append(frame.time)
        if len(times) > LONG:
            return
    _check(times == list(range(len(times))), "pictures out of order")
    curves = scan.curves
    _check(0 < curves.duration < 1e9, f"a duration of {curves.duration}")
    for curve in (curves.motion, curves.light, curves.cuts):
        _check(bool(np.isfinite(curve).all()), "curves")
    _check(bool((np.diff(curves.cuts) > 0).all()), "cuts out of order")


def _render(path: Path, is_video: bool, bench: Bench) -> None:
    """The file as the clip, if it is one, else as the music; then as a timeline."""
    if is_video and _seconds(path) > LONG:
        return
    video, track = (path, bench.track) if is_video else (bench.clip, path)
    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    moment = Moment(0.1, 0.6)
    with _emptied(bench.folder) as folder:
        report = isolated.render(
            video, track, moment, folder / "out.mp4", sound=SoundOptions(keep_audio=True)
        )
        made = isolated.probe_video(folder / "out.mp4")
        _check(
            abs(made.duration - report.duration) < 0.2, f"{made.duration} of {report.duration} s"
        )
        name = "out.edl" if int(path.name[:6]) % 2 else "out.otio"
        write(video, track, moment, folder / name)
        text = (folder / name).read_text()
        _check(re.search(r"\bnan\b", text, re.IGNORECASE) is None, "the timeline's times")


def _seconds(path: Path) -> float:
    scan = isolated.VideoScan(path)
    for _ in scan:
        pass
    return scan.curves.duration


def _index(
    files: Sequence[Path], bench: Bench, begun: Callable[[str, str], None]
) -> Iterator[Result]:
    begun("index", files[0].name)

    def told(step: Progress) -> None:
        begun("index", step.path.name if step.path else "")

    with _emptied(bench.folder) as folder:
        try:
            with Library.open(
                [*files, bench.track],
                folder=folder / "library",
                encoder=bench.encoder,
                progress=told,
                executor=Threads(1),
            ) as library:
                report = library.report
                for track in library.tracks():
                    features = library.features(track)
                    _check(bool(np.isfinite(features.segments).all()), f"{track.path} features")
        except Exception:
            yield Result("index", files[0].name, "traceback", traceback.format_exc())
            return
    failed = dict(report.failed)
    for path in files:
        reason = failed.get(path, "")
        yield Result("index", path.name, judged(reason) if reason else "ok", reason)


def _annotate(
    files: Sequence[Path],
    videos: Sequence[Path],
    bench: Bench,
    begun: Callable[[str, str], None],
) -> Iterator[Result]:
    begun("annotate", files[0].name)
    music = [path for path in files if path not in videos]
    with _emptied(bench.folder) as folder:
        try:
            done = annotate(
                [*videos, bench.clip],
                [*music, bench.track],
                folder / "uses.csv",
                folder=folder / "library",
                options=AnnotateOptions(min_video=0, min_moment=0, min_confidence=0),
                progress=lambda step: begun("annotate", step.path.name if step.path else ""),
            )
        except Exception:
            yield Result("annotate", files[0].name, "traceback", traceback.format_exc())
            return
    failed = dict(done.failed)
    for path in files:
        reason = failed.get(path, "")
        yield Result("annotate", path.name, judged(reason) if reason else "ok", reason)


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """`folder`; what is left in it afterwards is removed, and a passing file is a fault."""
    try:
        yield folder
    finally:
        left = [path.name for path in folder.iterdir() if path.name.startswith(".mgsv")]
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _check(not left, f"left over: {left}")


def _check(good: bool, what: str) -> None:
    if not good:
        raise Wrong(what)

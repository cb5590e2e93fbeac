"""Clips that get their music as they arrive in a folder."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgsv.errors import ConfigError, LibraryError, MgsvError, shown
from mgsv.grounding.batch.clips import BatchClip, clips_so_far
from mgsv.grounding.batch.journal import FAILED, journals
from mgsv.grounding.batch.options import FRESH, BatchOptions
from mgsv.grounding.batch.report import BatchItem
from mgsv.grounding.batch.run import ClipBatch
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.session import Session
from mgsv.library.walk import plain
from mgsv.media.isolated import probe_video

PATIENCE = 60.0
"""Seconds without a change after which a file that cannot be read is no longer waited for."""
RETRY = 60.0
"""Seconds until another try after a failure that was no fault of the clip's."""


@dataclass(frozen=True)
class WatchOptions:
    """How a folder is watched. Raises `ConfigError` for a value that makes no sense."""

    interval: float = 2.0
    """Seconds from one look at the folder to the next."""
    settle: float = 3.0
    """Seconds for which a file must not have changed before it is taken for whole."""
    once: bool = False
    """End when nothing is left to do."""

    def __post_init__(self) -> None:
        for name in ("interval", "settle"):
            value = getattr(self, name)
            if not 0 < value <= 3600:
                raise ConfigError(f"`{name}` {value:g}: no time to wait", "give up to 3600 seconds")


def watch_folder(
    session: Session,
    folder: Path,
    options: GroundOptions | None = None,
    how: BatchOptions = FRESH,
    *,
    output: Path | None = None,
    watch: WatchOptions | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[BatchItem]:
    """Yields what became of each clip that is or comes to be in `folder`; goes on without end.

    A clip is taken when it is whole: size and time of change have stayed as they are, and it can be
    read. What was done before is left alone, over restarts too. Clips whose results would have the
    same name are yielded once, as failed. Where something else than the clip fails, such as a music
    folder that is away, that is yielded once, and the clip tried again every minute. A file
    that could not be used before the watch began is yielded once, and left until it changes.

    output: the results' folder; None: beside the clips. Raises `ConfigError` where another process
    works on the results' folder, or `folder` is none.
    """
    if not folder.is_dir():
        raise ConfigError(f"{shown(folder)}: no folder", "name the folder that clips come into")
    waits = watch or WatchOptions()
    home = Path(os.fsdecode(plain(output or folder)))
    seen: dict[Path, tuple[tuple[int, int], float]] = {}
    tried: dict[Path, tuple[tuple[int, int], float]] = {}  # and when to try again
    said: dict[Path, str] = {}
    with journals([home]) as held:
        journal = held[home]
        batch = ClipBatch(session, options or GroundOptions(), how, held)
        while True:
            waiting = 0
            ready: list[BatchClip] = []
            for clip in clips_so_far([folder], output):
                if clip.problem:
                    if said.get(clip.path) != clip.problem:
                        said[clip.path] = clip.problem
                        yield BatchItem(clip.path, "failed", problem=clip.problem)
                    continue
                state, again = tried.get(clip.path, (None, 0.0))
                if clip.output.exists() or (state == clip.state and time.monotonic() < again):
                    continue
                if (why := journal.get(clip.name, FAILED, clip.state)) is not None:
                    tried[clip.path] = clip.state, math.inf
                    yield BatchItem(clip.path, "failed before", problem=why)
                    continue
                if _whole(clip, seen, waits.settle):
                    ready.append(clip)
                else:
                    waiting += 1
            if ready:
                states = {clip.path: clip.state for clip in ready}
                for item in _run(batch, ready):
                    retried = item.may_pass and not waits.once
                    again = time.monotonic() + RETRY if retried else math.inf
                    tried[item.clip] = states[item.clip], again
                    if item.state != "failed" or said.get(item.clip) != item.problem:
                        yield item
                    said[item.clip] = item.problem
            elif not waiting and waits.once:
                return
            else:
                sleep(waits.interval)


def _run(batch: ClipBatch, clips: list[BatchClip]) -> Sequence[BatchItem]:
    try:
        return batch.run(clips)
    except LibraryError as error:  # the music is away, perhaps for a moment
        return [BatchItem(c.path, "failed", problem=str(error), may_pass=True) for c in clips]


def _whole(clip: BatchClip, seen: dict[Path, tuple[tuple[int, int], float]], settle: float) -> bool:
    """Whether nothing has changed the clip for long enough, and it can be read or never will."""
    now = time.monotonic()
    state, since = seen.get(clip.path, (None, now))
    if state != clip.state:
        seen[clip.path] = clip.state, now
        return False
    if now - since < settle:
        return False
    try:
        probe_video(clip.path)
    except MgsvError:
        return now - since >= PATIENCE  # it may still be on its way
    return True

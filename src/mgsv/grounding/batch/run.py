"""The work of a batch: look at each clip, choose for all of them, and write the results."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mgsv.errors import ConfigError, MediaError, MgsvError, NoDecoder, shown
from mgsv.grounding.batch.assign import choices_needed, choose_tracks, most_uses
from mgsv.grounding.batch.clips import BatchClip
from mgsv.grounding.batch.journal import CHOSEN, FAILED, FOUND, Journal, journals
from mgsv.grounding.batch.options import FRESH, BatchOptions
from mgsv.grounding.batch.report import BatchItem, BatchReport
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.output import arrange, render
from mgsv.grounding.result import RankedMoment
from mgsv.grounding.session import Session
from mgsv.grounding.shortlist import RankedTrack, Ranking
from mgsv.grounding.tracks import KEPT_BYTES
from mgsv.jobs import Executor, Listener, Progress, Threads
from mgsv.library import Track
from mgsv.methods.base import Query


def ground_clips(
    session: Session,
    clips: Sequence[BatchClip],
    options: GroundOptions | None = None,
    how: BatchOptions = FRESH,
    *,
    progress: Listener | None = None,
    executor: Executor | None = None,
) -> BatchReport:
    """Find music for all `clips` and write them with it; a bad clip does not stop the others.

    No track is used more than its share and two more, nor for two clips in a row, unless
    `how.repeat`. Clips whose result is there are left alone, and count for that. What is found is
    remembered in the results' folder, so that the same call after a kill does what is missing.

    options: of each clip; its `top` is not used. progress: called after each clip was looked at and
    after each was written. executor: None = a thread per core.

    Raises `ConfigError` where another process works on the same folder, and what `Session.ground`
    raises that is no fault of a clip's.
    """
    with contextlib.ExitStack() as stack:
        held: Mapping[Path, Journal] = {}
        if how.render:
            held = stack.enter_context(journals([clip.home for clip in clips]))
        batch = ClipBatch(session, options or GroundOptions(), how, held)
        return batch.run(clips, progress, executor)


@dataclass
class _Clip:
    """A clip under way."""

    clip: BatchClip
    state: tuple[int, int]
    query: Query | None = None
    """As it was read, where there is room for it."""
    found: dict[str, Any] | None = None
    """The tracks to choose from, as a journal keeps them."""
    choice: dict[str, Any] | None = None
    """The chosen one of them; once a moment is found on it, that."""
    item: BatchItem | None = None

    @property
    def placed(self) -> dict[str, Any] | None:
        """The choice, if a moment was found on it."""
        return self.choice if self.choice is not None and "start" in self.choice else None

    def end(self, item: BatchItem) -> None:
        self.item = item

    def fail(self, error: Exception) -> None:
        path = self.clip.path
        problem = str(error).removeprefix(f"{shown(path)}: ")
        passing = not isinstance(error, ConfigError) and not self.is_own(error)
        self.item = BatchItem(path, "failed", choice=self.placed, problem=problem, may_pass=passing)

    def is_own(self, error: Exception) -> bool:
        """Whether it is a fault of the clip's file, which stays until the file changes."""
        own = isinstance(error, MediaError) and error.path == self.clip.path
        return own and not isinstance(error, NoDecoder)


@dataclass
class ClipBatch:
    """A batch with the journals of its results' folders open."""

    session: Session
    options: GroundOptions
    how: BatchOptions
    journals: Mapping[Path, Journal]
    _tracks: dict[str, Track] = field(default_factory=dict)
    _earlier: list[dict[str, Any]] = field(default_factory=list)
    """What was chosen for other clips before, the last at the end."""
    _count: int = 0
    """Tracks that may be chosen."""
    _kept: int = 0
    """Bytes of clips that are kept in memory."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self,
        clips: Sequence[BatchClip],
        progress: Listener | None = None,
        executor: Executor | None = None,
    ) -> BatchReport:
        """What `ground_clips` does."""
        current = {(clip.home, clip.name) for clip in clips}
        self._earlier = [
            choice
            for home, journal in self.journals.items()
            for name, choice in journal.chosen().items()
            if (home, name) not in current
        ]
        self._tracks = {track.id: track for track in self.session.library.tracks()}
        all_clips = [self._known(clip) for clip in clips]
        pending = [one for one in all_clips if one.item is None]
        steps = _Steps(progress, 2 * len(pending))
        workers = executor or Threads()
        narrowed = self.session.narrowed(self.options)
        self._count = len(self._tracks if narrowed is None else narrowed.tracks)
        choices = choices_needed(len(clips), self._count)
        wanted = replace(self.options, top=max(1, choices))
        key = self._key()
        placed = replace(self.options, top=1)
        new = [one for one in pending if not self._remembered(one, key, wanted.top)]
        self._each(workers, lambda one: self._look(one, wanted, key), new, steps)
        notes = self._choose(all_clips)
        ready = [one for one in pending if one.item is None]
        self._each(workers, lambda one: self._finish(one, placed), ready, steps)
        items = tuple(one.item for one in all_clips if one.item is not None)
        return BatchReport(items, tuple(notes))

    def _each(
        self,
        workers: Executor,
        work: Callable[[_Clip], None],
        clips: list[_Clip],
        steps: _Steps,
    ) -> None:
        with contextlib.closing(workers.map(work, clips)) as outcomes:
            for outcome in outcomes:
                one = outcome.item
                if outcome.error is not None:
                    if not isinstance(outcome.error, MgsvError):
                        raise outcome.error
                    one.fail(outcome.error)
                    if one.is_own(outcome.error):
                        self._note(one, FAILED, one.item.problem if one.item else "")
                steps.take(one.clip.path, one.item.problem if one.item else "")

    def _known(self, clip: BatchClip) -> _Clip:
        """The clip with what is known of it from earlier runs."""
        one = _Clip(clip, clip.state)
        if clip.problem:
            one.fail(MgsvError(clip.problem))
        elif self.how.render and not self.how.overwrite and os.path.lexists(clip.output):
            journal = self.journals[clip.home]
            choice = journal.get(clip.name, CHOSEN, one.state)
            if choice is None and journal.knows(clip.name):
                why = "the clip has changed since its result was written"
                remedy = "allow `overwrite` to write it again, or move the result away"
                one.fail(MgsvError(why, remedy))
            else:
                one.choice = choice
                one.end(BatchItem(clip.path, "done before", clip.output, choice))
        return one

    def _remembered(self, one: _Clip, key: str, top: int) -> bool:
        """Take over what an earlier run found, if it would be found again."""
        if (journal := self.journals.get(one.clip.home)) is None or self.how.overwrite:
            return False
        found = journal.get(one.clip.name, FOUND, one.state)
        if found is None or found["key"] != key or found["top"] < top:
            return False
        tracks = found.get("tracks")  # an earlier version noted moments instead
        if tracks is None or any(track["id"] not in self._tracks for track in tracks):
            return False
        one.found = found
        choice = journal.get(one.clip.name, CHOSEN, one.state)
        if choice is not None and choice["key"] == key:
            one.choice = choice
        return True

    def _look(self, one: _Clip, options: GroundOptions, key: str) -> None:
        query = self.session.read(one.clip.path)
        ranking = self.session.rank(query, options)
        one.found = {
            "key": key,
            "top": options.top,
            "seconds": query.info.duration,
            "tracks": _choices(ranking, key),
            "notes": list(query.notes),
        }
        self._note(one, FOUND, one.found)
        self._keep(one, query)

    def _keep(self, one: _Clip, query: Query) -> None:
        size = query.nbytes
        with self._lock:
            if self._kept + size <= KEPT_BYTES:
                self._kept += size
                one.query = query

    def _drop(self, one: _Clip) -> None:
        if one.query is not None:
            with self._lock:
                self._kept -= one.query.nbytes
            one.query = None

    def _note(self, one: _Clip, kind: str, content: Any) -> None:
        if (journal := self.journals.get(one.clip.home)) is not None:
            journal.add(one.clip.name, kind, one.state, content)

    def _choose(self, clips: list[_Clip]) -> list[str]:
        """Choose for all clips that have no choice yet; notes."""
        open_ = [one for one in clips if one.found is not None and one.choice is None]
        if not open_:
            return []
        same = _recordings(clips, self._earlier)
        lists = [{same[t["track"]]: t for t in reversed(_tracks(one))} for one in open_]
        most = most_uses(len(clips) + len(self._earlier), self._count)
        kinds = {track for own in lists for track in own}
        notes: list[str] = []
        if self.how.repeat or len(kinds) == 1:
            chosen = [same[_tracks(one)[0]["track"]] for one in open_]
            if len(kinds) == 1 and len(open_) > 1 and not self.how.repeat:
                notes.append("there is one track to choose from, so every clip has it")
        else:
            standing = [one.choice for one in clips if one.choice is not None]
            used = Counter(same[choice["track"]] for choice in [*self._earlier, *standing])
            scores = [{track: own[track]["score"] for track in own} for own in lists]
            beside = self._beside(clips, same)
            chosen = choose_tracks(scores, most, beside=beside, used=used)
        for one, own, track in zip(open_, lists, chosen, strict=True):
            one.choice = own[track]
            self._note(one, CHOSEN, one.choice)
        return notes

    def _beside(
        self, clips: list[_Clip], same: Mapping[str, str]
    ) -> list[tuple[str | None, str | None]]:
        """What stands before and after each clip that is to be chosen for; None for another of
        these, and for nothing.
        """
        row = [same[choice["track"]] for choice in self._earlier[-1:]]
        places: list[str | None] = list(row)
        for one in clips:
            if one.choice is not None:
                places.append(same[one.choice["track"]])
            elif one.found is not None:
                places.append(None)
        around = [None, *places, None]
        return [(around[n], around[n + 2]) for n, standing in enumerate(places) if standing is None]

    def _finish(self, one: _Clip, options: GroundOptions) -> None:
        """Find the moment on the chosen track, and write the clip with it."""
        if one.clip.state != one.state:
            raise MgsvError("it changed after it was read", "try again when it is finished")
        if one.placed is None:
            self._place(one, options)
        self._drop(one)
        assert one.placed is not None
        assert one.found is not None
        path, music_at = one.clip.path, self.options.music_at
        seconds = one.found["seconds"] - music_at
        moment = arrange(self._moment(one.placed), seconds, fit=self.options.fit, end=self.how.end)
        if moment.arrangement:
            one.choice = {**one.placed, "pieces": moment.as_dict()["pieces"]}
            self._note(one, CHOSEN, one.choice)
        arranging = moment.arrangement.notes if moment.arrangement else ()
        notes = (*one.found.get("notes", ()), *arranging)
        if not self.how.render:
            one.end(BatchItem(path, "found", choice=one.placed, notes=notes))
            return
        one.clip.output.parent.mkdir(parents=True, exist_ok=True)
        report = render(
            path,
            moment,
            one.clip.output,
            keep_audio=self.how.keep_audio,
            duck=self.how.duck,
            music_at=music_at,
            alpha=self.how.alpha,
            strip_metadata=self.how.strip_metadata,
            overwrite=self.how.overwrite,
        )
        notes = (*notes, *report.notes)
        one.end(BatchItem(path, "written", report.path, one.placed, notes=notes))

    def _place(self, one: _Clip, options: GroundOptions) -> None:
        choice = one.choice
        assert choice is not None
        query = one.query or self.session.read(one.clip.path)
        chosen = RankedTrack.from_dict(choice, self._tracks[choice["id"]])
        found = self.session.moment(query, chosen, options)
        one.choice = {**choice, **found.as_dict(), "rank": choice["rank"]}
        self._note(one, CHOSEN, one.choice)

    def _moment(self, choice: Mapping[str, Any]) -> RankedMoment:
        track = self._tracks[choice["id"]]
        return RankedMoment(1, track, choice["start"], choice["end"], choice["score"], {})

    def _key(self) -> str:
        """Changes when another answer may be found for the same clip."""
        library = self.session.library
        options, uses = replace(self.options, top=1), len(library.uses.all())
        text = repr((options, self.session.method.fingerprint, library.fingerprint, uses))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class _Steps:
    """Counts the steps of all clips for one bar."""

    def __init__(self, progress: Listener | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total
        self._report(None, "")

    def take(self, path: Path, problem: str) -> None:
        self._done += 1
        self._report(path, problem)

    def _report(self, path: Path | None, problem: str) -> None:
        if self._progress is not None:
            self._progress(Progress("clips", self._done, self._total, path, problem))


def _choices(ranking: Ranking, key: str) -> list[dict[str, Any]]:
    """The tracks for a clip as a journal keeps them."""
    chance = ranking.chance
    return [
        {
            "key": key,
            "rank": rank,
            **one.as_dict(),
            "chance": None if chance is None else round(chance, 6),
            "better_than_chance": chance is not None and one.ranked.score > chance,
        }
        for rank, one in enumerate(ranking.tracks, start=1)
    ]


def _tracks(one: _Clip) -> list[dict[str, Any]]:
    assert one.found is not None
    tracks: list[dict[str, Any]] = one.found["tracks"]
    return tracks


def _recordings(clips: list[_Clip], earlier: list[dict[str, Any]]) -> dict[str, str]:
    """File → the first name of the recording it holds, over all choices."""
    same: dict[str, str] = {choice["track"]: choice["track"] for choice in earlier}
    for one in clips:
        tracks = _tracks(one) if one.found is not None else []
        for track in [*tracks, *([one.choice] if one.choice else [])]:
            names = [track["track"], *track["also_as"]]
            known = min((same[name] for name in names if name in same), default=min(names))
            same |= dict.fromkeys(names, known)
    return same

"""Music as long as a clip: a track made longer or shorter at its bar lines, and a good end.

The pieces are found by dynamic programming over the bars of the track, in the manner of Wenner et
al. (2013; see `media.joins`): each join costs what is heard of it and a constant, so that there are
few, and the music comes to the clip's length.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mgsv.clock import clock
from mgsv.errors import ConfigError, MediaError
from mgsv.files import StrPath
from mgsv.media.audio import read_audio
from mgsv.media.joins import Floats, Song
from mgsv.media.music import SLACK
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.rhythm import ONSET_RATE
from mgsv.moment import Moment

Length = Literal["exact", "natural", "loop"]
"""How music gets to the clip's length: cut off there; by joins, to where it ends by itself; by
joins where the track is too short."""
Ending = Literal["fade", "natural"]

JOIN = 0.4
"""What a join costs beside what is heard of it, on the scale of `Song.alike`."""
LEAST_BARS = 4
"""Bars between two joins, or fewer where track or clip are short."""
FEWEST_BARS = 2
"""Bars a track needs to be joined to itself."""

RING = (0.5, 4.0)
"""Seconds that the last chord of a phrase rings, at most a bar."""
QUIET = 1.5
"""Seconds before the clip's end at which it may have died away."""
EARLY, LATE = 2.0, 0.7
"""Seconds by which the track's own end may come before the clip's, or be cut by it."""
CLOSE_FADE = 0.05
"""Seconds of fade at the track's own end, which has died away by itself."""
DECAY = 20.0
"""dB by which a track gets softer over its last two seconds that ends by itself."""
END_COSTS = {"close": 0.0, "section": 0.6, "phrase": 0.9}
"""Of ends, beside those of joins: the track's own is the best."""


_NO_END = "no phrase ends near the clip's end; the music fades out"
_NO_JOIN = "no two bars of the track sound alike enough to be joined; the music ends first"


class End(NamedTuple):
    """Where the music may end well: at bar line `line`, after which it rings for `rest` seconds.

    kind: one of `END_COSTS`. low, high: seconds of the music at which the line may lie.
    """

    kind: str
    line: int
    low: float
    high: float


def arrange(
    track: StrPath,
    moment: Moment,
    seconds: float,
    *,
    fit: Length = "exact",
    end: Ending = "fade",
) -> Arrangement:
    """`seconds` of music from `moment.start` on.

    fit: "exact" is `moment` as it is; "loop" lengthens a track that ends too soon; "natural" also
        shortens it, to end as `end` "natural" does.
    end: "natural" ends with the track, or at the end of a phrase, and lets the last chord ring,
        where one lies near enough to the clip's end; otherwise, and a note says so, it fades out.

    Raises `ConfigError` for unknown words, and `MediaError` for a track that cannot be read, ends
    before the moment, or has less than two bars from there on.
    """
    for name, value, known in (("fit", fit, Length), ("end", end, Ending)):
        if value not in get_args(known):
            raise ConfigError(f"`{name}` {value}: unknown", f"choose {_either(get_args(known))}")
    plain = Arrangement.of(moment)
    if fit == "exact" and (end == "fade" or moment.duration < seconds - SLACK):
        return plain
    song = Song.of(read_audio(track).samples)
    if moment.start >= song.rhythm.duration:
        where = f"the moment starts at {clock(moment.start)}, but the track ends at"
        last = clock(song.rhythm.duration)
        raise MediaError(track, f"{where} {last}", "choose an earlier moment")
    straight = Piece(moment.start, min(moment.start + seconds, song.rhythm.duration))
    natural = end == "natural" or fit == "natural"
    if fit == "exact" or (fit == "loop" and straight.seconds >= seconds - SLACK):
        return _well_ended(straight, song, seconds) if natural else plain
    if len(song.lines) - 1 < FEWEST_BARS:
        raise MediaError(
            track, "it is shorter than two bars, so it cannot be joined to itself",
            "choose a longer track, or leave `fit` exact",
        )  # fmt: skip
    return _joined(song, moment.start, seconds, natural=natural)


def _well_ended(straight: Piece, song: Song, seconds: float) -> Arrangement:
    """One piece that ends well, if it can."""
    ends = sorted(
        (END_COSTS[end.kind], end.line, end)
        for end in ends_of(song, seconds)
        if end.low <= song.lines[end.line] - straight.start <= end.high
    )
    if not ends:
        return Arrangement((straight,), notes=(_NO_END,))
    return _ended(song, (straight,), ends[0][2], seconds)


def _joined(song: Song, start: float, seconds: float, *, natural: bool) -> Arrangement:
    """Pieces from `start` on that last `seconds`."""
    first = int(np.searchsorted(song.lines, start - 1e-3))
    if first >= len(song.lines):  # within what follows the last bar: from its beginning
        first = len(song.lines) - 2
        start = float(song.lines[first])
    paths = Paths.of(song, first, float(song.lines[first]) - start, seconds)
    chosen: tuple[float, int, int, End | None] | None = None
    notes: tuple[str, ...] = ()
    if natural:
        options = paths.ending(ends_of(song, seconds))
        chosen = min(options, key=lambda one: one[:3], default=None)
        notes = () if chosen else (_NO_END,)
    if chosen is None:
        chosen = next(paths.lasting(), None)
    if chosen is None:
        return Arrangement((Piece(start, song.rhythm.duration),), notes=(_NO_JOIN,))
    _, step, line, end = chosen
    pieces = _pieces(song, start, paths.joins(step, line), seconds)
    told = tuple(
        f"the music goes on from {clock(one.end)} to {clock(two.start)} at {clock(two.at)}"
        for one, two in itertools.pairwise(pieces)
    )
    if end is None:
        return Arrangement(pieces, notes=(*told, *notes))
    ended = _ended(song, pieces, end, seconds)
    return replace(ended, notes=(*told, *ended.notes))


def _pieces(
    song: Song, start: float, joins: Sequence[tuple[int, int]], seconds: float
) -> tuple[Piece, ...]:
    """joins: bar lines that are left and entered, in their order."""
    pieces: list[Piece] = []
    begin, at, alike = start, 0.0, 0.0
    for leave, enter in joins:
        out = float(song.lines[leave])
        pieces.append(Piece(begin, out, at, alike))
        at += out - begin
        begin, alike = song.aligned(out, float(song.lines[enter]))
    last = min(begin + seconds - at, song.rhythm.duration)
    return (*pieces, Piece(begin, last, at, alike))


def _ended(song: Song, pieces: tuple[Piece, ...], end: End, seconds: float) -> Arrangement:
    """`pieces`, the last of which runs past `end`, with its last chord."""
    last = pieces[-1]
    if end.kind == "close":
        stop = min(song.heard_until, last.start + seconds - last.at)
        cut = song.heard_until - stop
        ring = min(RING[1], 2 * cut + CLOSE_FADE)
        note = "the music ends with the track"
    else:
        line = float(song.lines[end.line])
        stop = min(line + min(RING[1], song.bar), last.start + seconds - last.at)
        ring = stop - line
        note = f"the music ends with a {end.kind}, at {clock(last.at + line - last.start)}"
    stop = min(stop, song.rhythm.duration)
    return Arrangement((*pieces[:-1], replace(last, end=stop)), ring, (note,))


def ends_of(song: Song, seconds: float) -> Iterator[End]:
    """Where music of `seconds` may end."""
    last = len(song.lines) - 1
    if _closes(song):
        rest = song.heard_until - float(song.lines[last])
        yield End("close", last, seconds - EARLY - rest, seconds + LATE - rest)
    structure = song.structure
    for kind, times in (("section", structure.borders), ("phrase", structure.phrases)):
        for time in times[times > 0].astype(np.float64):
            line = int(np.argmin(np.abs(song.lines - time)))
            ring = min(RING[1], song.bar, song.rhythm.duration - song.lines[line])
            if abs(song.lines[line] - time) < song.bar / 4 and ring >= RING[0]:
                yield End(kind, line, seconds - ring - QUIET, seconds - RING[0])


def _closes(song: Song) -> bool:
    """Whether the track ends by itself: with a chord that dies away, or fading out."""
    energy, stop = song.rhythm.energy, round(song.heard_until * ONSET_RATE)
    second = round(ONSET_RATE)
    if stop < 3 * second:
        return False
    before = float(energy[max(0, stop - 3 * second) : stop - second].max())
    return before * 60 - float(energy[stop - second // 8 : stop].mean()) * 60 >= DECAY


@dataclass(frozen=True)
class Paths:
    """The cheapest ways through the bars of a song.

    costs, times: [steps, lines] the cost of being at a line after so many bars, and the seconds of
    music until then. came: [steps, lines] the line that was left for it by a join, −1 for none.
    least: bars that follow a join before the next one. seconds: wanted.
    """

    song: Song
    seconds: float
    costs: Floats
    times: Floats
    came: NDArray[np.intp]
    least: int

    @classmethod
    def of(cls, song: Song, first: int, before: float, seconds: float) -> Paths:
        """From line `first` on, which lies `before` seconds into the music."""
        count, lengths = len(song.lines) - 1, np.diff(song.lines)
        whole = max(1, int(seconds / song.bar))
        least = max(1, min(LEAST_BARS, count // 2, whole // 3))
        # A join into line q is made of q's bars up to q + least, of which there must be so many.
        targets = count - least + 1
        origins, heard = song.alike()
        origins, heard = origins[:targets], heard[:targets] + JOIN
        near = np.abs(origins - np.arange(targets)[:, None]) < least
        heard = np.where(near, np.inf, heard)
        held = min(least, count - first)  # bars from the moment's start that are played anyway
        played = song.lines[least : count + 1] - song.lines[:targets]
        steps = math.ceil((seconds - before) / max(float(lengths.min()), song.bar / 2)) + least + 1
        shape = (steps + 1, count + 1)
        costs, times = np.full(shape, np.inf), np.zeros(shape)
        came = np.full(shape, -1, np.intp)
        costs[0, first], times[0, first] = 0.0, before
        for step in range(1, steps + 1):
            costs[step, 1:] = costs[step - 1, :-1]
            times[step, 1:] = times[step - 1, :-1] + lengths
            if step >= least + held:
                left = costs[step - least][origins] + heard
                left[times[step - least][origins] > seconds] = np.inf
                best = left.argmin(axis=1)
                rows = np.arange(targets)
                cost, origin = left[rows, best], origins[rows, best]
                better = cost < costs[step, least:]
                places = rows[better] + least
                costs[step, places] = cost[better]
                came[step, places] = origin[better]
                times[step, places] = (times[step - least][origin] + played)[better]
            costs[step, times[step] > seconds + song.bar] = np.inf
        return cls(song, seconds, costs, times, came, least)

    def lasting(self) -> Iterator[tuple[float, int, int, None]]:
        """(cost, step, line) of the cheapest place that plays on to the wanted length, if any."""
        until = self.song.heard_until - SLACK
        rest = self.seconds - self.times
        reached = (rest >= 0) & (self.song.lines + rest <= until)
        costs = np.where(reached, self.costs, np.inf)
        step, line = np.unravel_index(int(costs.argmin()), costs.shape)
        if np.isfinite(costs[step, line]):
            yield float(costs[step, line]), int(step), int(line), None

    def ending(self, ends: Iterator[End]) -> Iterator[tuple[float, int, int, End]]:
        """(cost, step, line, end) of all ways to one of `ends`."""
        for end in ends:
            times = self.times[:, end.line]
            cost = self.costs[:, end.line] + END_COSTS[end.kind]
            for step in np.flatnonzero(
                np.isfinite(cost) & (times >= end.low) & (times <= end.high)
            ):
                yield float(cost[step]), int(step), end.line, end

    def joins(self, step: int, line: int) -> list[tuple[int, int]]:
        """The lines left and entered on the way to `line` after `step` bars."""
        found = []
        while step > 0:
            if (origin := int(self.came[step, line])) >= 0:
                step, line = step - self.least, line - self.least
                found.append((origin, line))
                line = origin
            else:
                step, line = step - 1, line - 1
        return found[::-1]


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"

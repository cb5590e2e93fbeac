"""Blind baselines: moments chosen without looking at the video, the floor to clear.

Each takes the rows to predict, with the true moments in them but never read, and returns moments
[N, 2] in seconds on the row's track. All but `whole_track` make the moment as long as the video,
which 99.3 % of MGSV-EC's creators do.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Annotations
from mgsv.data.packed import FloatArray, PackedStore
from mgsv.moment import iou

Moments = npt.NDArray[np.float64]

GRID = 0.5
"""Seconds between the starts that a prior tries."""

PRIOR_WEIGHT = 0.5
"""Votes of the position prior beside the rows seen on the same track: one use outvotes it."""


def blind_answers(
    rows: Annotations, segments: PackedStore, train: Annotations | None
) -> dict[str, Moments]:
    """Moments of every baseline by its name; without training rows those of the priors are missing.

    segments: the features of the rows' tracks.
    """
    answers = {"start 0": start_0(rows), "whole track": whole_track(rows)}
    if train is not None:
        answers["position prior"] = PositionPrior(train).predict(rows)
        answers["per-track prior"] = PerTrackPrior(train).predict(rows)
    answers["highlight"] = highlight(rows, segments)
    return answers


def start_0(rows: Annotations) -> Moments:
    """The track's beginning."""
    return _placed(np.zeros(len(rows)), rows)


def whole_track(rows: Annotations) -> Moments:
    """The track from end to end."""
    return np.stack([np.zeros(len(rows)), rows.track_seconds], axis=1)


class PositionPrior:
    """The start that would have served best all training videos of about that length."""

    BINS = (10.0, 15.0, 20.0, 30.0, 40.0)
    """Borders, in seconds, between the video lengths that get a start of their own."""

    def __init__(self, train: Annotations) -> None:
        bins = np.digitize(train.video_seconds, self.BINS)
        self._start = np.zeros(len(self.BINS) + 1)
        candidates = np.arange(0, 120, GRID)
        for place in range(len(self._start)):
            inside = bins == place
            if inside.any():
                gains = [self._gain(train, inside, start) for start in candidates]
                self._start[place] = candidates[int(np.argmax(gains))]

    @staticmethod
    def _gain(train: Annotations, inside: npt.NDArray[np.bool_], start: float) -> float:
        room = np.maximum(train.track_seconds - train.video_seconds, 0)[inside]
        starts = np.minimum(start, room)
        moments = np.stack([starts, starts + train.video_seconds[inside]], axis=1)
        return float(iou(moments, train.moments[inside]).mean())

    def predict(self, rows: Annotations) -> Moments:
        return _placed(self._start[np.digitize(rows.video_seconds, self.BINS)], rows)


class PerTrackPrior:
    """The start that would have served best the training videos on the same track.

    The position prior votes too, and alone decides for tracks never seen.
    """

    def __init__(self, train: Annotations) -> None:
        self._position = PositionPrior(train)
        self._starts: dict[str, list[float]] = defaultdict(list)
        for row in train:
            self._starts[row.music_id].append(row.music_start)

    def predict(self, rows: Annotations) -> Moments:
        moments = self._position.predict(rows)
        for n, row in enumerate(rows):
            seen = self._starts.get(row.music_id)
            if seen:
                width = row.video_seconds
                candidates = np.unique(np.append(seen, moments[n, 0]))
                votes = np.append(seen, moments[n, 0])
                weights = np.append(np.ones(len(seen)), PRIOR_WEIGHT)
                overlap = iou(_moment(candidates[:, None], width), _moment(votes[None], width))
                moments[n] = _moment(candidates[int(np.argmax(overlap @ weights))], width)
        return _placed(moments[:, 0], rows)


def last_use(train: Annotations, rows: Annotations) -> Moments:
    """The start of the last training video on the same track, else 0: the plainest memory.

    Not moved where the track ends before the video does, so that the figure is the rule's own.
    """
    starts = {row.music_id: row.music_start for row in train}
    return np.array(
        [_moment(np.float64(starts.get(row.music_id, 0.0)), row.video_seconds) for row in rows]
    ).reshape(-1, 2)


def highlight(rows: Annotations, segments: PackedStore, stride: float = 2.5) -> Moments:
    """What stands out in the music alone: loud, repeated elsewhere, and new where it begins.

    From each track's features `segments`, the sum of three standardised curves over the starts:
    their mean norm (loudness), how well the stretch returns at its best other place (a chorus
    does), and how much the music after the start differs from the music before it.
    """
    starts = np.empty(len(rows))
    for n, row in enumerate(rows):
        track = segments.read(row.music_id).features
        width = max(1, round(row.video_seconds / stride))
        starts[n] = stride * int(np.argmax(_salience(track, min(width, len(track)))))
    return _placed(starts, rows)


def _salience(track: FloatArray, width: int) -> Moments:
    """[S - width + 1] how much each stretch of `width` segments stands out in `track` [S, D]."""
    norms = np.linalg.norm(track, axis=1)
    centred = track - track.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    alike = (unit @ unit.T).astype(np.float64)
    count = len(track) - width + 1
    loud = np.convolve(norms, np.ones(width) / width, "valid")
    repeated, novel = np.zeros(count), np.zeros(count)
    half = min(4, width)
    # stretch[i, j]: mean likeness of the stretches that begin at i and at j, walked side by side
    stretch = sum(alike[k : k + count, k : k + count] for k in range(width)) / width
    for start in range(count):
        elsewhere = np.abs(np.arange(count) - start) >= width
        repeated[start] = stretch[start][elsewhere].max(initial=0.0)
        before, after = slice(max(0, start - half), start), slice(start, start + half)
        if start:
            novel[start] = 1 - alike[before, after].mean()
    return _standard(loud) + _standard(repeated) + _standard(novel)


def _standard(curve: npt.NDArray[np.floating]) -> Moments:
    """`curve` with mean 0 and deviation 1; zeros for a flat one."""
    spread = curve.std()
    return np.asarray((curve - curve.mean()) / spread) if spread > 1e-9 else np.zeros(len(curve))


def _moment(start: npt.NDArray[np.floating] | np.floating, width: float) -> Moments:
    return np.stack([start, start + width], axis=-1)


def _placed(starts: npt.NDArray[np.floating], rows: Annotations) -> Moments:
    """Moments of the videos' lengths at `starts` [N], moved back where tracks end first."""
    widths = np.minimum(rows.video_seconds, rows.track_seconds)
    starts = np.clip(starts, 0, rows.track_seconds - widths)
    return np.stack([starts, starts + widths], axis=1)

"""`sync`: grounding without a learned model, by agreement of what is seen with what is heard.

Editors cut on the beat and let the picture move with the music, so a moment fits a clip when cuts
fall on onsets and the picture's motion rises and falls with the music's energy. Three terms, each
at most 1 and 0 on average for an unrelated moment:

* cuts: how strong the onsets under the clip's cuts are, against the track's average moment;
* motion: normalised cross-correlation of the clip's motion level with the music's energy;
* bursts: the same for sudden rises of motion with the onset envelope.

The *agreement* is their weighted mean. A clip without cuts, or one that does not move, has fewer
terms. All starts of a track are scored at once through FFTs: motion and bursts on a 10 Hz grid,
cuts on the onset envelope's 16 ms grid, of which each 0.1 s cell takes the best place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import Source
from mgsv.library import TrackCurves
from mgsv.media.rhythm import ONSET_RATE
from mgsv.media.video import CURVE_RATE
from mgsv.methods.base import Detection, Placement, Query, StartOn
from mgsv.methods.patterns import Array, ClipPattern, TrackPattern, unit
from mgsv.moment import Moment

Seconds = npt.NDArray[np.floating]

VERSION = "1"

WEIGHTS = {"cuts": 0.5, "motion": 0.35, "bursts": 0.15}
"""Cuts count most: they are exact in time, and a cut beside the beat is what viewers notice."""
CUTS_FOR_FULL_WEIGHT = 4
"""A single cut lands on some strong onset almost anywhere; four at once are evidence."""

BEAT_BONUS = 0.03
"""For a start on a beat, where one lies within 0.1 s of the best agreement."""
BEAT_SIGMA = 0.04
"""Seconds. Listeners hear two events as one up to about 40 ms apart."""

CELL_STEPS = np.arange(-3, 4)
"""16 ms steps around a cell's centre: 0.1 s is 6.25 of them."""

SURROGATES = 20
CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""

REACH = 1.25
"""Seconds: how far `align` may move a start, half of a learned model's 2.5 s segment."""

FREE_WIDTHS = (1.0, 0.75, 0.5)
"""With `fit="free"`, the share of the clip that the music may accompany."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a clip with every start of a track. Cell i stands for starts about i / 10 s.

    total: [S], each cell's best; -inf in silence. curves: [S], the weighted terms of motion and
    bursts, the same all over a cell. cuts: the cuts' term at starts j / 62.5 s, or None for a clip
    without cuts. terms: motion and bursts apart, [S] each. weights: of the terms, summing to 1.
    """

    total: Array
    curves: Array
    cuts: Array | None
    terms: dict[str, Array]
    weights: dict[str, float]

    def at(self, starts: Seconds) -> Array:
        """Agreement at exact `starts` [N] in seconds."""
        weight = self.weights.get("cuts", 0.0)
        agreement = self.curves[self.cells(starts)] + weight * self.cuts_at(starts)
        return np.asarray(agreement, np.float32)

    def cuts_at(self, starts: Seconds) -> Array:
        """The cuts' term at exact `starts` [N]; 0 for a clip without cuts."""
        if self.cuts is None:
            return np.zeros(len(starts), np.float32)
        steps = np.arange(len(self.cuts))
        return np.asarray(np.interp(starts * ONSET_RATE, steps, self.cuts), np.float32)

    def cells(self, starts: Seconds) -> npt.NDArray[np.int_]:
        """The cell of each start [N]."""
        cells = np.rint(starts * CURVE_RATE).astype(int)
        return np.asarray(np.minimum(cells, len(self.total) - 1))


class Sync:
    """The registered method. Scores reach at most 1, perfect agreement; 0 is none."""

    name = "sync"
    wants_features = False
    reranks = 0
    chance_unknown = (
        "the clip has no cuts and does not move, so all moments fit it alike: this is a guess"
    )
    score_meaning = (
        "agreement of cuts and motion with onsets and energy: "
        "1 is perfect, 0 what unrelated moments average"
    )

    @property
    def fingerprint(self) -> str:
        return f"sync-{VERSION}"

    def require(self, video: Source, music: Source) -> None:
        """Any encoder will do: only the curves are looked at."""

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The agreement of each track's best start [M]; -inf for tracks too short to serve."""
        clip = _pattern(query)
        return np.array(
            [
                -np.inf if features.track.too_short else _best(clip, TrackPattern.of(features))
                for features in tracks
            ],
            np.float32,
        )

    def rerank(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The same scores: there is nothing better to say."""
        return self.score_tracks(query, tracks)

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The best moment on each track, to 16 ms or on a beat."""
        shares = FREE_WIDTHS if placement.fit == "free" else (1.0,)
        clips = [_pattern(query, share) for share in shares]
        return [_choose(clips, TrackPattern.of(features), placement) for features in tracks]

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        """The best agreement that 95 % of clips with as many cuts and as much motion, but at
        random times, stay below on these tracks; None for a clip with nothing to align."""
        clip = _pattern(query)
        usable = [features for features in tracks if not features.track.too_short]
        if not _weights(clip) or not usable:
            return None
        step = -(-len(usable) // CHANCE_TRACKS)
        sample = [TrackPattern.of(features) for features in usable[::step]]
        luck = _luck(clip, sample)
        # The best of M tracks grows with ln M (Gumbel), on the scale of the tracks' spread.
        growth = luck.std(axis=1).mean() * np.sqrt(6) / np.pi * np.log(len(usable) / len(sample))
        return float(np.quantile(luck.max(axis=1), CHANCE_QUANTILE) + growth)


def agree(clip: ClipPattern, track: TrackPattern) -> Agreement:
    """Slide `clip` along `track`.

    A clip longer than the track is compared by the part that the track can accompany, from start 0.
    """
    clip = clip.cropped(len(track.onset))
    length = len(clip.motion)
    starts = len(track.onset) - length + 1
    weights = _weights(clip)
    total = np.zeros(starts, np.float32)
    terms = {}
    if "motion" in weights or "bursts" in weights:
        # Circular correlation needs no room for wrapping: a start's window ends inside the track.
        n = _fft_size(len(track.onset))
        spectra = np.fft.rfft(np.stack([track.energy, track.onset]), n)
        sums = np.fft.irfft(spectra * clip.curve_spectra(n), n)[:, :starts]
        terms["motion"] = sums[0] / _window_norms(track.energy, length, starts)
        terms["bursts"] = sums[1] / _window_norms(track.onset, length, starts)
        terms = {name: term.astype(np.float32) for name, term in terms.items() if name in weights}
        for name, term in terms.items():
            total += np.float32(weights[name]) * term
    curves, cuts = total, None
    if "cuts" in weights:
        n = _fft_size(len(track.strength))
        hits = np.fft.irfft(np.fft.rfft(track.strength, n) * clip.cut_spectrum(n), n)
        usual = float(track.strength.mean())
        last = min(round((starts - 1) / CURVE_RATE * ONSET_RATE), len(track.strength) - 1)
        cuts = ((hits[: last + 1] - usual) / max(1.0 - usual, 1e-6)).astype(np.float32)
        total = curves + np.float32(weights["cuts"]) * cuts[_cell_steps(starts, last)].max(axis=1)
    audible = track.audible[:starts]
    if audible.any():
        total = np.where(audible, total, np.float32(-np.inf))
    return Agreement(total, curves, cuts, terms, weights)


def align(
    query: Query, features: TrackCurves, moment: Moment, start_on: StartOn
) -> tuple[float, float]:
    """(start, agreement) of the start within REACH of the moment's that agrees best.

    For moments that something else chose; the width stays, and the moment stays on its track.
    Equal agreements go to the start nearest to the moment's own, and so does a start `on` a beat
    where no beat is within reach. Silence is avoided where there is a choice.
    """
    track = TrackPattern.of(features)
    result = agree(_pattern(query, min(1.0, moment.duration / query.seconds)), track)
    latest = max(0.0, track.seconds - moment.duration)
    beats = track.beats[(track.beats >= 0) & (track.beats <= latest)].astype(np.float64)
    distance = np.abs(beats - moment.start)
    if start_on == "beat" and len(beats):
        starts = beats[distance <= max(REACH, distance.min())]
    else:
        steps = np.arange(-int(REACH * ONSET_RATE), int(REACH * ONSET_RATE) + 1) / ONSET_RATE
        starts = np.concatenate([moment.start + steps, beats[distance <= REACH]])
    starts = np.unique(np.clip(starts, 0.0, latest))
    audible = np.isfinite(result.total[result.cells(starts)])
    starts = starts[audible] if audible.any() else starts
    starts = starts[np.argsort(np.abs(starts - moment.start), kind="stable")]
    scores = result.at(starts)
    best = int(np.argmax(scores + BEAT_BONUS * _beat_nearness(starts, beats)))
    return float(starts[best]), float(scores[best])


def _choose(clips: list[ClipPattern], track: TrackPattern, placement: Placement) -> Detection:
    """The best moment of one track; with several widths, the one that beats its luck by most.

    A shorter window finds a good place more easily, so scores of different widths do not compare.
    """
    found = [_detect(clip, track, placement) for clip in clips]
    if len(found) == 1:
        return found[0]
    margins = [
        detection.score - _luck(clip, [track]).mean()
        for detection, clip in zip(found, clips, strict=True)
    ]
    return found[int(np.argmax(margins))]


def _detect(clip: ClipPattern, track: TrackPattern, placement: Placement) -> Detection:
    result = agree(clip, track)
    # The grid's last cell may reach past the track's end by a part of a cell.
    latest = max(0.0, track.seconds - clip.seconds)
    starts = np.unique(np.minimum(_candidates(result, track.beats, placement), latest))
    scores, near = result.at(starts), _beat_nearness(starts, track.beats)
    best = int(np.argmax(scores + BEAT_BONUS * near))
    start = float(starts[best])
    cell = result.cells(starts)[best]
    evidence = {name: float(term[cell]) for name, term in result.terms.items()}
    if result.cuts is not None:
        evidence["cuts"] = float(result.cuts_at(starts)[best])
        evidence["number_of_cuts"] = float(len(clip.cuts))
    evidence["start_on_beat"] = float(near[best])
    end = min(start + clip.seconds, track.seconds)
    return Detection(Moment(start, max(start, end)), float(scores[best]), evidence)


def _candidates(result: Agreement, beats: Array, placement: Placement) -> Array:
    """Starts in seconds worth a look: in and around the best cell, or all audible beats."""
    last = (len(result.total) - 1) / CURVE_RATE
    beats = beats[(beats >= 0) & (beats <= last)]
    if placement.start_on == "beat" and len(beats):
        audible = np.isfinite(result.total[result.cells(beats)])
        return np.asarray(beats[audible] if audible.any() else beats)
    best = int(np.argmax(result.total)) / CURVE_RATE
    near = beats[np.abs(beats - best) <= 1 / CURVE_RATE]
    starts = np.concatenate([best + CELL_STEPS / ONSET_RATE, near])
    return np.asarray(np.clip(starts, 0.0, last), np.float32)


def _luck(clip: ClipPattern, tracks: Sequence[TrackPattern]) -> Array:
    """Best agreements [SURROGATES, M] of clips like this one in every respect but timing.

    Cuts fall at random times; the motion curve keeps its spectrum (how fast it changes) and gets
    random phases. The seed is fixed, so the same clip always meets the same chance.
    """
    rng = np.random.default_rng(0)
    stand_ins = [
        replace(
            clip,
            motion=unit(_random_phases(clip.motion, rng)),
            bursts=unit(rng.permutation(clip.bursts)),
            cuts=np.sort(rng.uniform(0, clip.seconds, len(clip.cuts))).astype(np.float32),
        )
        for _ in range(SURROGATES)
    ]
    return np.array([[_best(s, track) for track in tracks] for s in stand_ins], np.float32)


def _best(clip: ClipPattern, track: TrackPattern) -> float:
    return float(agree(clip, track).total.max())


def _pattern(query: Query, share: float = 1.0) -> ClipPattern:
    return ClipPattern.of(query.seconds * share, query.curves.motion, query.curves.cuts)


def _weights(clip: ClipPattern) -> dict[str, float]:
    """Weights of the terms that the clip can speak for; none for a still clip without cuts."""
    confidence = {
        "cuts": min(1.0, len(clip.cuts) / CUTS_FOR_FULL_WEIGHT),
        "motion": float(clip.motion.any()),
        "bursts": float(clip.bursts.any()),
    }
    raw = {name: WEIGHTS[name] * share for name, share in confidence.items() if share > 0}
    return {name: weight / sum(raw.values()) for name, weight in raw.items()}


def _beat_nearness(starts: Seconds, beats: Seconds) -> Array:
    """1 for a start on a beat, falling to 0 within about 0.1 s."""
    if not len(beats):
        return np.zeros(len(starts), np.float32)
    distance = np.abs(starts[:, None] - beats[None, :]).min(axis=1)
    return np.asarray(np.exp(-0.5 * (distance / BEAT_SIGMA) ** 2), np.float32)


def _cell_steps(starts: int, last: int) -> npt.NDArray[np.int_]:
    """[starts, 7] indices of the 16 ms steps that belong to each 0.1 s cell."""
    centres = np.rint(np.arange(starts) * (ONSET_RATE / CURVE_RATE)).astype(int)
    return np.asarray(np.clip(centres[:, None] + CELL_STEPS, 0, last))


def _window_norms(curve: Array, length: int, starts: int) -> npt.NDArray[np.float64]:
    """√(Σ (x − mean)²) of every window of `length` cells; inf where a window does not vary."""
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    squares = np.concatenate([[0.0], np.cumsum(np.square(curve, dtype=np.float64))])
    mean = (sums[length : length + starts] - sums[:starts]) / length
    spread = squares[length : length + starts] - squares[:starts] - length * mean**2
    floor = 1e-6 * max(float(squares[-1]), 1e-12)
    return np.where(spread > floor, np.sqrt(np.maximum(spread, floor)), np.inf)


def _random_phases(curve: Array, rng: np.random.Generator) -> Array:
    spectrum = np.fft.rfft(curve)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(len(spectrum)))
    return np.fft.irfft(turned, len(curve)).astype(np.float32)


def _fft_size(length: int) -> int:
    """The smallest 2^a·3^b·5^c that is at least `length`: sizes that the FFT is fast at."""
    best = 1 << (length - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-length // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best

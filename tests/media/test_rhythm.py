"""Rhythm against metronomes, and against slow textbook versions of the same definitions.

Tolerances: a tempo is refined between lags of 16 ms, to 0.5 %; a dynamic programme may miss a beat
at each end; curves are float32 sums over a window's 1,024 points and 80 bands, off by some hundred
roundings of values up to 16, or 1e-4; the bands' centres lie on bins 16 Hz apart, and the last is
as wide as six.
"""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

import real_media
from media_files import clicks, sine
from mgsv.media.audio import read_audio
from mgsv.media.rhythm import (
    HOP,
    MEL_BANDS,
    ONSET_RATE,
    RATE,
    TIGHTNESS,
    WINDOW,
    _best_chains,
    analyse_rhythm,
    find_tempo,
    onset_strength,
    slaney_mel_filters,
    track_beats,
)


class TestMetronome:
    @pytest.mark.sampled
    @pytest.mark.parametrize("offset", [0.0, 0.37])
    @pytest.mark.parametrize("bpm", [60, 72, 90, 100, 120, 128, 140, 165, 180])
    def test_tempo_and_beats(self, bpm: float, offset: float) -> None:
        beats = np.arange(offset, 30, 60 / bpm)
        found = analyse_rhythm(clicks(30, beats))
        assert found.tempo == pytest.approx(bpm, rel=0.005)
        # All of them, perhaps without the one on the very edge; none in between; within 10 ms
        assert len(beats) - 1 <= len(found.beats) <= len(beats)
        errors = [t - beats[np.abs(beats - t).argmin()] for t in found.beats]
        assert np.abs(errors).max() < 0.010
        # The delay of the onset curve is taken off
        assert abs(np.mean(errors)) < 0.004

    def test_beats_follow_a_drift(self) -> None:
        intervals = np.linspace(60 / 116, 60 / 124, 80)
        beats = 1 + np.cumsum(intervals)
        found = analyse_rhythm(clicks(beats[-1] + 1, beats))
        hits = [np.abs(found.beats - b).min() < 0.02 for b in beats]
        assert np.mean(hits) > 0.97

    def test_level_does_not_matter(self) -> None:
        samples = clicks(20, np.arange(0.2, 20, 0.5))
        loud, quiet = analyse_rhythm(samples), analyse_rhythm(samples * 0.01)
        assert quiet.onset == pytest.approx(loud.onset, abs=1e-3)
        assert quiet.energy == pytest.approx(loud.energy, abs=1e-4)
        assert np.array_equal(quiet.beats, loud.beats)

    def test_no_beats_in_leading_and_trailing_silence(self) -> None:
        found = analyse_rhythm(clicks(40, np.arange(10, 30, 0.5)))
        assert found.beats.min() > 9.9
        assert found.beats.max() < 30.1


class TestNothingToFind:
    @pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 5_000])
    def test_short(self, count: int) -> None:
        found = analyse_rhythm(sine(1, RATE)[:count])
        assert len(found.onset) == len(found.energy) == -(-count // HOP)
        assert found.tempo == 0
        assert not len(found.beats)

    def test_silence(self) -> None:
        found = analyse_rhythm(np.zeros(10 * RATE, np.float32))
        assert not found.onset.any()
        assert not found.energy.any()
        assert (found.tempo, len(found.beats)) == (0, 0)

    def test_all_is_finite_on_noise_and_overload(self) -> None:
        noise = np.random.default_rng(0).normal(0, 3, 20 * RATE).astype(np.float32)
        found = analyse_rhythm(noise)
        for values in (found.onset, found.energy, found.beats):
            assert np.isfinite(values).all()
        assert (np.diff(found.beats) > 0).all()

    def test_another_rate_is_refused(self) -> None:
        with pytest.raises(ValueError, match="16000"):
            analyse_rhythm(np.zeros(1000, np.float32), rate=44_100)


class TestEnergy:
    def test_decibels(self) -> None:
        levels = [1.0, 0.1, 0.01, 0.0001, 0.0]  # 0, -20, -40, -80 dB, silence
        samples = np.concatenate([sine(1, RATE, level=level) for level in levels])
        energy = analyse_rhythm(samples).energy
        middles = [energy[round((i + 0.5) * ONSET_RATE)] for i in range(len(levels))]
        assert middles == pytest.approx([1, 2 / 3, 1 / 3, 0, 0], abs=0.02)


class TestOracles:
    """The same definitions, written the slow and obvious way."""

    def test_spectral_flux(self) -> None:
        samples = read_audio(real_media.bgm_tracks()[0]).samples[: 12 * RATE + 77]
        filters = slaney_mel_filters(WINDOW, MEL_BANDS, RATE).astype(np.float64)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
        power = np.mean(samples.astype(np.float64) ** 2)
        floor = power * 1e-6 * (window**2).sum() * filters.sum(0).mean()
        before, expected = np.zeros(filters.shape[1]), []
        for n in range(-(-len(samples) // HOP)):
            frame = np.zeros(WINDOW)
            seen = samples[max(0, n * HOP - WINDOW) : n * HOP]
            frame[WINDOW - len(seen) :] = seen
            mel = np.abs(np.fft.rfft(frame * window)) ** 2 @ filters
            now = np.log1p(mel / floor)
            expected.append(np.maximum(now - before, 0).mean())
            before = now
        assert onset_strength(samples) == pytest.approx(np.array(expected), abs=2e-4)

    def test_mel_bands(self) -> None:
        filters = slaney_mel_filters(WINDOW, MEL_BANDS, RATE)
        hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
        centres = hertz[filters.argmax(0)]
        assert (np.diff(centres) >= 0).all()
        assert centres[-1] == pytest.approx(7_900, abs=100)
        # 1 kHz is 15 mel on Slaney's scale, of 45.245 at 8 kHz: band 128 * 15 / 45.245
        assert np.searchsorted(centres, 1_000) == pytest.approx(129 * 15 / 45.245, abs=2)
        # area 1, where a band spans enough bins to tell
        assert filters[:, 80:].sum(0) * RATE / WINDOW == pytest.approx(1, abs=0.05)

    @staticmethod
    def chains(
        local: NDArray[np.float64], lags: NDArray[np.int64], period: float
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Ellis' recursion, one frame and one lag at a time."""
        score = np.zeros(len(local))
        before: list[int] = []
        begun = False
        for t in range(len(local)):
            best, at = 0.0, -1
            for lag in lags:
                if t + lag >= 0:
                    gain = score[t + lag] - TIGHTNESS * np.log(-lag / period) ** 2
                    if gain > best:
                        best, at = gain, t + int(lag)
            begun = begun or local[t] >= 0.01 * local.max()
            score[t] = local[t] + best
            before.append(at if begun else -1)
        return score, before

    @pytest.mark.parametrize("period", [20.8, 31.25, 62.5])
    def test_dynamic_programme(self, period: float) -> None:
        local = np.random.default_rng(5).gamma(0.5, 2, 700)
        local[:90] = 0
        lags = np.arange(-round(2 * period), -round(period / 2) + 1)
        score, before = _best_chains(local, lags, TIGHTNESS * np.log(-lags / period) ** 2)
        expected_score, expected_before = self.chains(local, lags, period)
        assert score == pytest.approx(expected_score)
        assert list(before) == expected_before

    def test_tempo_prior_prefers_the_tapped_beat(self) -> None:
        # Strong beats at 100 bpm with weak ones between them: 100, not 200 or 50
        strong, weak = np.arange(0.3, 30, 0.6), np.arange(0.6, 30, 0.6)
        samples = clicks(30, strong) + 0.02 * clicks(30, weak)
        assert find_tempo(onset_strength(samples)) == pytest.approx(100, rel=0.01)

    def test_no_tempo_no_beats(self) -> None:
        assert not len(track_beats(np.ones(1000, np.float32), 0.0))


class TestRealTracks:
    @pytest.mark.slow
    def test_beats_lie_on_onsets(self) -> None:
        for path in [*real_media.long_tracks(), *real_media.bgm_tracks()[::5]]:
            found = analyse_rhythm(read_audio(path).samples)
            assert 40 <= found.tempo <= 182
            frames = np.round((found.beats + 0.012) * ONSET_RATE).astype(int)
            onset = np.pad(found.onset, 1)
            around = np.maximum(np.maximum(onset[:-2], onset[1:-1]), onset[2:])
            assert around[frames].mean() > 1.3 * around.mean(), path.name
            assert 60 / np.median(np.diff(found.beats)) == pytest.approx(found.tempo, rel=0.05)

    @pytest.mark.slow
    def test_memory_beyond_the_waveform_is_small(self) -> None:
        samples = np.tile(clicks(60, np.arange(0.1, 60, 0.5)), 10)
        tracemalloc.start()
        found = analyse_rhythm(samples)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.tempo == pytest.approx(120, rel=0.005)
        assert len(found.beats) == pytest.approx(1200, abs=2)
        assert peak < samples.nbytes / 3


def test_any_unsteady_pulse_has_a_tempo_or_none() -> None:
    """Of seeds 250 and 380 the period, refined, grew until its last multiple was out of reach."""
    for seed in range(200, 400):
        rng = np.random.default_rng(seed)
        period, length = rng.uniform(14, 60), int(rng.uniform(250, 1500))
        onset, at = np.zeros(length, np.float32), 0.0
        while at < length:
            onset[int(at)] = rng.random()
            at += period * rng.uniform(0.8, 1.2)
        tempo = find_tempo(np.convolve(onset, np.hanning(9), "same").astype(np.float32))
        assert tempo == 0 or 38 <= tempo <= 250

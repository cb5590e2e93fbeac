"""The planted benchmark: laid out and spread like MGSV-EC, and solvable.

Tolerances: how near the generator means to come to the real files (2.5 s of a clip's length, 8 s of
a track's and of starts, two digits of shares), which is more than another seed changes; states come
back from float32 features through a well-conditioned matrix.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_support import SMALL, full_rows
from mgsv.data.annotations import Annotations, read_annotations
from mgsv.data.features import check_files
from mgsv.data.folder import DataFolder
from mgsv.data.packed import PackedStore
from mgsv.errors import ConfigError, OutputError
from mgsv.jobs import Progress
from mgsv.moment import iou
from mgsv.synthesis.planted import PlantOptions, plan_rows, plant, read_recipe
from mgsv.synthesis.planted.options import FULL
from mgsv.synthesis.planted.rows import track_segments, video_frames
from mgsv.synthesis.planted.songs import SongOptions, song, states_at
from mgsv.synthesis.planted.views import View, best_start, predict_oracle, views
from mgsv.synthesis.planted.worlds import WORLDS
from tolerances import FEW32


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix != ".pt"  # a zip carries dates
    }


@pytest.mark.slow
def test_it_is_laid_out_as_the_hub_data_set(planted: Path) -> None:
    assert check_files(planted) == []
    data = DataFolder.open(planted)
    sizes = {split: len(data.annotations(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": SMALL.train, "val": SMALL.val, "test": SMALL.test}
    assert read_recipe(planted) == SMALL
    frames, segments = PackedStore(data.packed("frames")), PackedStore(data.packed("segments"))
    assert (frames.slots, frames.dim) == (50, 512)
    assert (segments.slots, segments.dim) == (96, 768)
    for row in data.annotations("test"):
        assert "+" in row.music_id
        valid = frames.read(row.video_id).mask
        assert valid.all()
        assert len(valid) == video_frames(row, WORLDS["full"]) == min(int(row.video_end), 49) + 1
        assert len(segments.read(row.music_id).mask) == int(row.music_total_duration / 2.5) + 1
    for split in ("val", "test"):
        ids = data.annotations(split).music_ids
        assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_the_same_options_give_the_same_bytes_and_another_seed_does_not(
    planted: Path, tmp_path: Path
) -> None:
    again = digest(plant(tmp_path / "again", SMALL))
    assert again == digest(planted)
    other = digest(plant(tmp_path / "other", replace(SMALL, seed=4)))
    assert not set(again.values()) & set(other.values())


def test_a_song_does_not_depend_on_how_many_are_made() -> None:
    small = plan_rows(SMALL)
    assert {row.music_id for row in small["test"]} <= {
        f"planted{SMALL.seed}+{number:05d}" for number in range(SMALL.tracks)
    }
    np.testing.assert_array_equal(song(3, 7, SMALL), song(3, 7, replace(SMALL, tracks=4000)))


@pytest.mark.slow
def test_the_full_size_follows_the_statistics_of_the_data_set() -> None:
    rows = full_rows()
    for split in ("train", "val", "test"):
        assert len(rows[split]) == FULL[split]
        starts = rows[split].moments[:, 0]
        assert (starts < 0.5).mean() == pytest.approx(0.33, abs=0.03)
        assert 150 < starts.max() <= 190
        assert rows[split].video_seconds.mean() == pytest.approx(24, abs=1.5)
        assert (rows[split].moments[:, 1] <= rows[split].track_seconds + 1e-6).all()
    tracks = {row.music_id: row.music_total_duration for part in rows.values() for row in part}
    assert len(tracks) == FULL["tracks"]
    assert np.mean(list(tracks.values())) == pytest.approx(140, abs=4)
    train, val, test = (set(rows[split].music_ids) for split in ("train", "val", "test"))
    assert len(train) == pytest.approx(3496, abs=1)
    assert len(val & test) == 1893
    ids = [row.video_id for part in rows.values() for row in part]
    assert len(set(ids)) == len(ids)
    uses = np.sort(np.unique(rows["train"].music_ids, return_counts=True)[1])[::-1]
    assert uses[: len(uses) // 10].sum() > 0.3 * uses.sum()  # the long tail


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_statistics_are_near_the_real_files(real_csvs: Path, split: str) -> None:
    real = read_annotations(real_csvs / f"{split}_data.csv")
    made = full_rows()[split]
    for name, scale in (("video_seconds", 2.5), ("track_seconds", 8.0)):
        for share in (0.1, 0.25, 0.5, 0.75, 0.9):
            a, b = (np.quantile(getattr(rows, name), share) for rows in (real, made))
            assert a == pytest.approx(b, abs=scale), (name, share)
    for share in (0.5, 0.75, 0.9):
        a, b = (np.quantile(rows.moments[:, 0], share) for rows in (real, made))
        assert a == pytest.approx(b, abs=8), share


def test_states_come_back_from_their_view() -> None:
    for view in views(replace(SMALL, grain=0.0)):
        states = song(0, 0, SMALL)
        features = view.project(states, np.random.default_rng(0))
        np.testing.assert_allclose(view.states(features), states, atol=1e-3)


def test_the_two_views_are_different_and_fixed() -> None:
    first, second = views(SMALL)
    assert first.matrix.shape[1] == 512
    assert second.matrix.shape[1] == 768
    np.testing.assert_array_equal(View.make(3, 1, 512, SMALL).matrix, first.matrix)


def test_sections_return_and_repeats_differ_as_configured() -> None:
    """Correlation of a song with itself at its repeats grows with `repeat_similarity`."""

    def likeness(similarity: float) -> float:
        options = SongOptions(repeat_similarity=similarity)
        best = []
        for number in range(20):
            states = song(0, number, options)
            parts = np.stack([states[n : n + 4].ravel() for n in range(90)])
            parts = (parts - parts.mean(0)) / parts.std()
            alike = np.corrcoef(parts)
            far = np.abs(np.subtract.outer(range(90), range(90))) >= 10
            best.append(np.where(far, alike, -1).max(1).mean())
        return float(np.mean(best))

    low, middle, high = likeness(0.0), likeness(0.5), likeness(1.0)
    assert low + 0.05 < middle < high - 0.05
    assert high > 0.95


def test_songs_of_a_family_are_alike() -> None:
    options = SongOptions(family_size=4, family_similarity=0.8)
    means = np.stack([song(0, number, options).mean(0) for number in range(80)])
    alike = np.corrcoef(means)
    family = np.arange(80) // 4
    same = (family[:, None] == family[None]) & ~np.eye(80, dtype=bool)
    assert alike[same].mean() > alike[family[:, None] != family[None]].mean() + 0.3


def test_states_between_two_steps_are_linear() -> None:
    states = np.arange(96, dtype=np.float32)[:, None]
    got = states_at(states, np.array([0.0, 1.25, 2.5, 6.0, 999.0]))
    np.testing.assert_allclose(got[:, 0], [0, 0.5, 1, 2.4, 95], rtol=FEW32)


def test_the_oracle_finds_the_moments(planted: Path) -> None:
    data = DataFolder.open(planted)
    rows = data.annotations("test")
    assert iou(predict_oracle(data, rows), rows.moments).mean() >= 0.90


def test_the_oracle_never_reads_the_answer(planted: Path) -> None:
    data = DataFolder.open(planted)
    rows = data.annotations("test")[:5]
    moved = Annotations(
        tuple(replace(row, music_start=0.0, music_end=row.video_seconds) for row in rows)
    )
    np.testing.assert_array_equal(predict_oracle(data, rows), predict_oracle(data, moved))


def test_best_start_on_a_ramp() -> None:
    track = np.arange(40, dtype=np.float32)[:, None] * np.array([[2.5, -1.0]], np.float32)
    video = states_at(np.pad(track, ((0, 56), (0, 0)), mode="edge"), 33.25 + np.arange(12))
    assert best_start(video, track, latest=80) == 33.25
    assert best_start(video, track, latest=20) == 20


def test_hot_tracks_have_one_usual_moment() -> None:
    def repeats(hot: float) -> float:
        rows = plan_rows(PlantOptions(train=4000, val=100, test=100, tracks=200, hot=hot))
        starts: dict[str, list[float]] = {}
        for row in rows["train"]:
            starts.setdefault(row.music_id, []).append(row.music_start)
        pairs = [abs(s[0] - s[1]) < 0.1 for s in starts.values() if len(s) > 1]
        return float(np.mean(pairs))

    assert repeats(0.0) < 0.15  # two at the very start agree by chance
    assert 0.6 < repeats(1.0) < 0.85  # as on 70 % of the real tracks in both val and test


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"val": 61}, "`val` 61 with `tracks` 60"),
        ({"train": 0}, "`train` 0"),
        ({"hot": 1.5}, "`hot`"),
        ({"repeat_similarity": -0.1}, "`repeat_similarity`"),
        ({"noise": float("nan")}, "`noise`"),
        ({"latent_dim": 1}, "`latent_dim`"),
    ],
)
def test_options_that_make_no_sense_name_their_field(change: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        plant(tmp_path / "x", SMALL)


def test_a_failing_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(step: Progress) -> None:
        if step.what == "videos":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plant(tmp_path / "x", SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_not_planted_has_no_oracle(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a planted benchmark"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(("seconds", "count"), [(2.4, 1), (2.5, 2), (31.0, 13), (999.0, 96)])
def test_segment_count(seconds: float, count: int) -> None:
    assert track_segments(seconds, WORLDS["full"]) == count

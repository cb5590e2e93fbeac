"""Extraction writes the published layout, continues after bad files, and resumes."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from media_files import Clip, sine, write_audio, write_song_with_cover, write_video
from mgsv.data.features import FeatureFolder
from mgsv.encoders.registry import music_encoder, video_encoder
from mgsv.errors import ConfigError, DataError, EncoderMismatch
from mgsv.extract import ExtractOptions, extract
from mgsv.media.audio import read_audio
from mgsv.media.rhythm import analyse_rhythm
from mgsv.media.video import VideoScan
from paper_weights import save_small_models

pytest.importorskip("transformers")

ROOT = Path("features/Kuai_feature")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_models(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 3 s, a track of 12.5 s whose channels differ, a song with a cover, and a text."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", Clip(seconds=3.0))
    two = np.stack([sine(12.5, 16_000, 440), sine(12.5, 16_000, 990)])
    write_audio(folder / "a+b.wav", two, 16_000)
    write_song_with_cover(folder / "song.mp3")
    (folder / "notes.txt").write_text("not media")
    return folder


def load(output: Path, folder: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    kind = folder.partition("_")[0]
    return tuple(
        torch.load(output / ROOT / folder / f"{kind}_{what}" / f"{name}.pt", weights_only=True)
        for what in ("feature", "mask")
    )


def test_features_lie_in_the_published_layout(media: Path, weights: Path, tmp_path: Path) -> None:
    report = extract([media], tmp_path, encoders_dir=weights)
    assert (report.written, report.present, report.failed) == (3, 0, ())
    frames, mask = load(tmp_path, "vit_feature1", "clip")
    assert frames.shape == (50, 512) and frames.dtype == torch.float32
    assert mask.tolist() == [1.0] * 3 + [0.0] * 47 and not frames[3:].any()
    segments, mask = load(tmp_path, "ast_feature2p5", "a+b")
    assert segments.shape == (96, 768) and segments.dtype == torch.float32
    # Centres 0, 2.5, …, 12.5: the last one is the track's very end, which still counts.
    assert mask.tolist() == [1.0] * 6 + [0.0] * 90 and not segments[6:].any()
    _, mask = load(tmp_path, "ast_feature2p5", "song")
    assert mask.sum() == 1
    folders = FeatureFolder.frames(tmp_path / ROOT), FeatureFolder.segments(tmp_path / ROOT)
    assert [folder.ids() for folder in folders] == [["clip"], ["a+b", "song"]]


def test_features_are_those_the_encoders_give(media: Path, weights: Path, tmp_path: Path) -> None:
    extract([media / "clip.mp4", media / "a+b.wav"], tmp_path, encoders_dir=weights)
    video = video_encoder("paper", folder=weights)
    scan = VideoScan(media / "clip.mp4", video.image_size)
    frames, _ = load(tmp_path, "vit_feature1", "clip")
    np.testing.assert_allclose(frames[:3], video.encode(scan, lambda: scan.curves), atol=1e-5)
    music = music_encoder("paper", folder=weights)
    audio = read_audio(media / "a+b.wav", channel="first")
    expected = music.encode(audio, analyse_rhythm(audio.samples)).segments
    segments, _ = load(tmp_path, "ast_feature2p5", "a+b")
    np.testing.assert_allclose(segments[:5], expected, atol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("stride", "name", "slots"), [(5.0, "5", 48), (7.5, "7p5", 32), (10.0, "10", 24)]
)
def test_longer_strides_are_a_choice_of_the_shortest_ones_segments(
    media: Path, weights: Path, tmp_path: Path, stride: float, name: str, slots: int
) -> None:
    for each in (2.5, stride):
        extract(
            [media / "a+b.wav"], tmp_path, encoders_dir=weights, options=ExtractOptions(stride=each)
        )
    fine, _ = load(tmp_path, "ast_feature2p5", "a+b")
    coarse, mask = load(tmp_path, f"ast_feature{name}", "a+b")
    assert coarse.shape == (slots, 768)
    valid = int(mask.sum())
    assert valid == 12.5 // stride + 1
    torch.testing.assert_close(coarse[:valid], fine[:: round(stride / 2.5)][:valid])


def test_a_video_longer_than_the_layout_gives_its_first_50_seconds(
    weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", Clip(seconds=53.0, rate=2, width=64, height=48))
    extract([video], tmp_path, encoders_dir=weights)
    _, mask = load(tmp_path, "vit_feature1", "long")
    assert mask.tolist() == [1.0] * 50


@pytest.mark.slow
def test_a_track_longer_than_the_canvas_is_cut_to_it(weights: Path, tmp_path: Path) -> None:
    """What lies beyond 240 s must not even reach the window that is centred on 237.5 s."""
    samples = np.random.default_rng(0).normal(0, 0.1, 250 * 16_000).astype(np.float32)
    write_audio(tmp_path / "long.wav", samples, 16_000)
    write_audio(tmp_path / "cut.wav", samples[: 240 * 16_000], 16_000)
    extract([tmp_path / "long.wav", tmp_path / "cut.wav"], tmp_path, encoders_dir=weights)
    (long, mask), (cut, _) = (load(tmp_path, "ast_feature2p5", n) for n in ("long", "cut"))
    assert mask.all() and torch.equal(long, cut)


def test_a_second_run_makes_only_what_is_missing(
    media: Path, weights: Path, tmp_path: Path
) -> None:
    extract([media], tmp_path, encoders_dir=weights)
    clip = tmp_path / ROOT / "vit_feature1" / "vit_feature" / "clip.pt"
    mask = tmp_path / ROOT / "ast_feature2p5" / "ast_mask" / "a+b.pt"
    song = tmp_path / ROOT / "ast_feature2p5" / "ast_feature" / "song.pt"
    before, kept = clip.read_bytes(), song.stat().st_mtime_ns
    clip.write_bytes(before[:100])  # as a full disk or a kill may leave it
    mask.unlink()
    report = extract([media], tmp_path, encoders_dir=weights)
    assert (report.written, report.present) == (2, 1)
    assert clip.read_bytes() == before and mask.exists() and song.stat().st_mtime_ns == kept
    assert (
        extract(
            [media], tmp_path, encoders_dir=weights, options=ExtractOptions(overwrite=True)
        ).written
        == 3
    )


def test_bad_files_are_listed_and_the_rest_is_done(
    media: Path, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "media"
    shutil.copytree(media, folder)
    (folder / "bad.mp4").write_text("text")
    (folder / "empty.ogg").touch()
    write_video(folder / "clip.mkv", Clip(seconds=1.0))
    seen: list[tuple[int, int, str]] = []
    report = extract(
        [folder],
        tmp_path,
        encoders_dir=weights,
        progress=lambda step: seen.append((step.done, step.total, step.path.name)),
    )
    reasons = {path.name: reason for path, reason in report.failed}
    assert report.written == 3 and set(reasons) == {"bad.mp4", "empty.ogg", "clip.mp4"}
    assert "clip.mkv" in reasons["clip.mp4"] and "rename" in reasons["clip.mp4"]
    assert [(done, total) for done, total, _ in seen] == [(k, 6) for k in range(1, 7)]


def test_sound_without_a_picture_is_music_whatever_its_ending(
    media: Path, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    write_audio(folder / "song.mp4", sine(3.0, 48_000), 48_000, "aac")
    shutil.copy(media / "clip.mp4", folder)
    for name in ("tune.mid", "cover.jpg", "notes.txt"):
        (folder / name).write_text("x")
    report = extract([folder], tmp_path, encoders_dir=weights)
    assert (report.written, report.failed, report.ignored) == (2, (), {"mid": 1})
    assert load(tmp_path, "ast_feature2p5", "song")[1].sum() == 2


def test_features_of_other_weights_are_not_mixed_in(
    media: Path, weights: Path, tmp_path: Path
) -> None:
    import transformers

    extract([media / "clip.mp4"], tmp_path, encoders_dir=weights)
    other = tmp_path / "other" / "clip-vit-base-patch32"
    model = transformers.CLIPModel.from_pretrained(weights / "clip-vit-base-patch32")
    model.visual_projection.weight.data += 1
    model.save_pretrained(other)
    with pytest.raises(EncoderMismatch, match=r"made by clip-vit-b32:.* weights are clip-vit-b32:"):
        extract([media / "clip.mp4"], tmp_path, encoders_dir=other)


def test_encoders_of_other_widths_do_not_fit_the_layout(media: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`encoders` default: .* use `encoders` paper"):
        extract([media], tmp_path, encoders="default")
    assert not list(tmp_path.iterdir())


def test_nothing_to_do_is_an_error(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "tune.mid").touch()
    with pytest.raises(DataError, match=r"no videos and no music, only 1 \.mid"):
        extract([tmp_path], tmp_path, encoders_dir=weights)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_leaves_no_half_file(
    media: Path, weights: Path, tmp_path: Path
) -> None:
    code = f"""
import resource, signal
from mgsv.extract import ExtractOptions, extract
from mgsv.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    extract([{str(media / "clip.mp4")!r}], {str(tmp_path)!r}, encoders_dir={str(weights)!r})
except OutputError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot be written" in run.stdout
    assert not list((tmp_path / ROOT).rglob("*.pt*"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000

"""Colours after encoding, as ffmpeg shows them by the marks in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edit_lists import Edit, set_edits
from ffmpeg_tools import ffmpeg, ffprobe
from media_files import Clip, write_video
from mgsv.errors import ConfigError
from mgsv.media.render import RenderReport, render
from mgsv.media.video import VideoScan
from mgsv.moment import Moment

PATCHES = (
    (223, 32, 17),
    (20, 200, 40),
    (30, 60, 220),
    (240, 240, 240),
    (60, 60, 60),
    (200, 180, 90),
)
MARKS = ("color_space", "color_primaries", "color_transfer", "color_range")
BT709 = ("bt709", "bt709", "bt709", "tv")


def patches(_time: float = 0.0) -> NDArray[np.uint8]:
    """Six plain patches side by side, uint8 [192, 384, 3]."""
    return np.repeat(np.tile(np.array(PATCHES, np.uint8), (192, 1, 1)), 64, axis=1)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The patches, exact, for half a second."""
    folder = tmp_path_factory.mktemp("master")
    (folder / "raw").write_bytes(patches().tobytes() * 5)
    form = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "384x192", "-r", 10)
    ffmpeg(*form, "-i", folder / "raw", "-c:v", "ffv1", "-pix_fmt", "gbrp", folder / "master.mkv")
    return folder / "master.mkv"


def seen(path: Path) -> NDArray[np.float64]:
    """[6, 3]: the patches as ffmpeg turns them to RGB, honouring the file's marks."""
    raw = ffmpeg("-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    image = np.frombuffer(raw, np.uint8).reshape(192, 384, 3)
    centres = [image[88:104, 64 * n + 28 : 64 * n + 36] for n in range(6)]
    return np.array([c.reshape(-1, 3).mean(0) for c in centres])


def marks(path: Path) -> tuple[str | None, ...]:
    """None for each that is missing or unknown."""
    found = (picture_stream(path).get(mark) for mark in MARKS)
    return tuple(None if mark == "unknown" else mark for mark in found)


def picture_stream(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = ffprobe(path, "-select_streams", "v:0", "-show_streams")["streams"][0]
    return found


def rendered(clip: Path, shelf: Path, suffix: str = ".mp4", **options: Any) -> RenderReport:
    output = clip.with_name(f"out{suffix}")
    return render(clip, shelf / "track.flac", Moment(1.0, 9.0), output, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("clip.mov", ("-c:v", "png", "-pix_fmt", "rgb24")),
        ("clip.mov", ("-c:v", "png", "-pix_fmt", "rgb48be")),
        ("clip.mov", ("-c:v", "qtrle", "-pix_fmt", "rgb24")),
        ("clip.mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp")),
        ("clip.gif", ()),
        ("clip.avi", ("-c:v", "mjpeg", "-q:v", 1, "-pix_fmt", "yuvj444p")),
    ],
)
def test_rgb_becomes_bt709(
    tmp_path: Path, shelf: Path, master: Path, name: str, coding: tuple[object, ...]
) -> None:
    clip = tmp_path / name
    ffmpeg("-i", master, *coding, clip)
    report = rendered(clip, shelf)
    assert marks(report.path) == BT709
    assert np.abs(seen(report.path) - seen(clip)).max() <= 4
    assert np.abs(seen(report.path) - PATCHES).max() <= (8 if name == "clip.gif" else 4)
    assert any(note.startswith("the picture was encoded again as h264") for note in report.notes)


def write_marked(
    master: Path,
    path: Path,
    coding: tuple[object, ...],
    matrix: str,
    primaries: str,
    transfer: str,
    range_: str,
) -> Path:
    """The patches in YUV by `matrix`, marked with it and the rest."""
    scaled = f"scale=out_color_matrix={matrix}:out_range={range_}:flags=accurate_rnd"
    marked = f"colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range={range_}"
    ffmpeg("-i", master, "-vf", f"{scaled},setparams={marked}", *coding, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding", "matrix", "primaries", "transfer"),
    [
        ("c.mov", ("-c:v", "dnxhd", "-profile:v", "dnxhr_hqx", "-pix_fmt", "yuv422p10le"),
         "bt709", "bt709", "bt709"),
        ("c.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
         "smpte170m", "smpte170m", "bt709"),
        ("c.webm", ("-c:v", "libvpx-vp9", "-crf", 10, "-pix_fmt", "yuv420p"),
         "bt709", "bt709", "bt709"),
        ("c.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p"), "bt470bg", "bt470bg", "bt470bg"),
        ("c.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv422p10le"),
         "bt2020nc", "bt2020", "bt2020-10"),
    ],
)  # fmt: skip
def test_marks_are_kept(
    tmp_path: Path,
    shelf: Path,
    master: Path,
    name: str,
    coding: tuple[object, ...],
    matrix: str,
    primaries: str,
    transfer: str,
) -> None:
    clip = write_marked(master, tmp_path / name, coding, matrix, primaries, transfer, "tv")
    report = rendered(clip, shelf)
    assert picture_stream(report.path)["pix_fmt"] == "yuv420p"
    assert marks(report.path) == (matrix, primaries, transfer, "tv")
    assert np.abs(seen(report.path) - seen(clip)).max() <= 5


@pytest.mark.slow
def test_full_range_becomes_limited(tmp_path: Path, shelf: Path, master: Path) -> None:
    """Players that ignore the mark show full range with crushed shadows."""
    clip = write_marked(
        master, tmp_path / "c.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p"), *("bt709",) * 3, "pc"
    )
    report = rendered(clip, shelf)
    assert marks(report.path) == BT709
    assert np.abs(seen(report.path) - seen(clip)).max() <= 5


@pytest.mark.slow
def test_what_is_not_marked_stays_so(tmp_path: Path, shelf: Path, master: Path) -> None:
    """Whatever a player takes unmarked pictures for, it takes the result for the same."""
    clip = tmp_path / "c.mkv"
    ffmpeg("-i", master, "-c:v", "ffv1", "-pix_fmt", "yuv420p", clip)
    report = rendered(clip, shelf)
    assert marks(report.path)[:3] == marks(clip)[:3] == (None,) * 3
    assert np.abs(seen(report.path) - seen(clip)).max() <= 4


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_high_dynamic_range_is_kept(
    tmp_path: Path, shelf: Path, master: Path, transfer: str, suffix: str
) -> None:
    coding = ("-c:v", "libvpx-vp9", "-crf", 10, "-pix_fmt", "yuv420p10le", "-profile:v", 2)
    clip = write_marked(master, tmp_path / "c.webm", coding, "bt2020nc", "bt2020", transfer, "tv")
    if suffix == ".mkv":  # where VP9 would be copied
        ffmpeg("-i", clip, "-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", tmp_path / "c.mov")
        clip = tmp_path / "c.mov"
    report = rendered(clip, shelf, suffix)
    stream = picture_stream(report.path)
    assert (stream["codec_name"], stream["pix_fmt"]) == ("hevc", "yuv420p10le")
    assert marks(report.path) == ("bt2020nc", "bt2020", transfer, "tv")
    assert np.abs(seen(report.path) - seen(clip)).max() <= 5
    assert any(note.startswith("the picture was encoded again as hevc") for note in report.notes)
    if suffix == ".mp4":
        assert stream["codec_tag_string"] == "hvc1"


@pytest.mark.slow
def test_the_display_that_hdr_was_graded_on_stays_known(
    tmp_path: Path, shelf: Path, master: Path
) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,500)"
    marked = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    light = f"hdr10=1:master-display={display}:max-cll=1000,400"
    coding = ("-c:v", "libx265", "-x265-params", f"log-level=none:{marked}:{light}")
    clip = tmp_path / "clip.mp4"
    ffmpeg("-i", master, *coding, "-pix_fmt", "yuv420p10le", clip)
    set_edits(clip, [Edit(0.3, 0.4)])  # so that it cannot be copied
    report = rendered(clip, shelf, ".mkv")
    assert not report.copied_video
    before, after = (
        ffprobe(path, "-select_streams", "v", "-show_frames")["frames"][0]["side_data_list"]
        for path in (clip, report.path)
    )
    kinds = ("Mastering display metadata", "Content light level metadata")
    assert [d for d in after if d["side_data_type"] in kinds] == [
        d for d in before if d["side_data_type"] in kinds
    ]
    assert len(after) >= 2


def half_transparent() -> NDArray[np.uint8]:
    """uint8 [192, 384, 4]: the patches opaque, half opaque (128) and transparent, from above."""
    alpha = np.repeat(np.array([255, 128, 0], np.uint8), 64)[:, None, None]
    return np.concatenate([patches(), np.broadcast_to(alpha, (192, 384, 1))], axis=2)


VP8_ALPHA = ("-auto-alt-ref", 0, "-pix_fmt", "yuva420p")


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ["black", "white"])
@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("clip.mov", ("-c:v", "png", "-pix_fmt", "rgba")),
        ("clip.mov", ("-c:v", "qtrle", "-pix_fmt", "argb")),
        ("clip.mov", ("-c:v", "prores_ks", "-profile:v", 4, "-pix_fmt", "yuva444p10le")),
        ("clip.webm", ("-c:v", "libvpx-vp9", "-crf", 4, "-pix_fmt", "yuva420p")),
        (
            "clip.webm",
            ("-c:v", "libvpx", "-crf", 4, "-b:v", "2M", *VP8_ALPHA),
        ),
    ],
)
def test_transparent_pixels_show_the_ground(
    tmp_path: Path, shelf: Path, name: str, coding: tuple[object, ...], alpha: str
) -> None:
    raw, clip = tmp_path / "raw", tmp_path / name
    raw.write_bytes(half_transparent().tobytes() * 5)
    form = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", "384x192", "-r", 10)
    ffmpeg(*form, "-i", raw, *coding, clip)
    report = rendered(clip, shelf, alpha=alpha)
    data = ffmpeg("-i", report.path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    image = np.frombuffer(data, np.uint8).reshape(192, 384, 3).astype(float)
    ground = 255 if alpha == "white" else 0
    for row, share in ((32, 1.0), (96, 128 / 255), (160, 0.0)):
        for n, colour in enumerate(PATCHES):
            expected = share * np.array(colour) + (1 - share) * ground
            assert np.abs(image[row, 64 * n + 32] - expected).max() <= 8, (row, n)
    assert f"its transparent pixels are shown over {alpha}" in report.notes


def test_opaque_pictures_with_alpha_are_not_spoken_of(
    tmp_path: Path, shelf: Path, master: Path
) -> None:
    clip = tmp_path / "clip.mov"
    ffmpeg("-i", master, "-c:v", "png", "-pix_fmt", "rgba", clip)
    report = rendered(clip, shelf)
    assert not any("transparent" in note for note in report.notes)
    assert np.abs(seen(report.path) - PATCHES).max() <= 4


def test_an_unknown_ground_is_refused(tmp_path: Path, shelf: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=0.2))
    with pytest.raises(ConfigError, match="alpha is 'grey': give black or white"):
        rendered(clip, shelf, alpha="grey")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gray", "gray10le", "monow", "pal8", "rgb555le", "yuv411p"])
def test_unusual_pixels(tmp_path: Path, shelf: Path, master: Path, form: str) -> None:
    """Whatever ffmpeg can show of the source, the result shows too."""
    clip = tmp_path / "clip.nut"
    ffmpeg("-i", master, "-c:v", "rawvideo", "-pix_fmt", form, clip)
    report = rendered(clip, shelf)
    # Five bits are steps of 8, and FFmpeg's versions dither between them differently.
    assert np.abs(seen(report.path) - seen(clip)).max() <= (9 if form == "rgb555le" else 5)
    with av.open(str(report.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("primaries", "transfer", "matrix", "kept"),
    [
        (1, 1, 8, ("ycgco", "bt709", "bt709")),  # FFmpeg cannot convert these, only carry them
        (9, 16, 14, ("ictcp", "bt2020", "smpte2084")),
        (3, 3, 3, (None, None, None)),  # reserved
        (250, 250, 250, (None, None, None)),
        (2, 2, 0, (None, None, None)),  # RGB, which 4:2:0 is not
    ],
)
def test_marks_that_cannot_be_converted(
    tmp_path: Path,
    shelf: Path,
    primaries: int,
    transfer: int,
    matrix: int,
    kept: tuple[str | None, ...],
) -> None:
    plain, clip = tmp_path / "plain.mp4", tmp_path / "clip.mp4"
    write_video(plain, Clip(seconds=1))
    numbers = f"colour_primaries={primaries}:transfer_characteristics={transfer}"
    marked = f"h264_metadata={numbers}:matrix_coefficients={matrix}"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", marked, clip)
    scan = VideoScan(clip, 96)
    assert len(list(scan)) == 1
    assert scan.warnings == []
    set_edits(clip, [Edit(0.4, 0.4)])  # so that it cannot be copied
    report = rendered(clip, shelf, ".mkv")
    assert not report.copied_video
    assert marks(report.path)[:3] == kept

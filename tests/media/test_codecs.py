"""Every pair of codecs that PyAV writes can be read back: sizes, times, sound.

Tolerances: one frame at 25 frames/s and rounding in durations of pictures, two frames of a sound
codec (21 to 24 ms each) and its padding in those of sound; cuts are exact to a container's tick;
lossy codecs keep levels to 10 %.
"""

from pathlib import Path

import numpy as np
import pytest

from media_files import AUDIO_CODECS, VIDEO_CODECS, Clip, sine, write_video
from mgsv.media.audio import read_audio
from mgsv.media.video import VideoScan, probe_video


@pytest.mark.sampled
@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("audio_codec", [*AUDIO_CODECS, None])
@pytest.mark.parametrize("video_codec", VIDEO_CODECS)
def test_pair(tmp_path: Path, video_codec: str, audio_codec: str | None, container: str) -> None:
    if audio_codec == "wav" and container == "mp4":
        pytest.skip("mp4 does not take plain PCM")
    path = write_video(
        tmp_path / f"clip.{container}",
        Clip(seconds=2.4, cuts=[1.2], colours=[(200, 30, 30), (30, 30, 200)]),
        codec=video_codec,
        audio=None if audio_codec is None else sine(2.4, 48_000),
        audio_codec=audio_codec or "",
    )
    info = probe_video(path)
    assert (info.width, info.height, info.codec) == (160, 96, video_codec)
    assert info.has_audio == (audio_codec is not None)

    scan = VideoScan(path, shorter_side=48)
    frames = list(scan)
    assert [f.time for f in frames] == [0.0, 1.0, 2.0]
    assert frames[0].image.shape == (48, 80, 3)
    # red, red, blue
    assert [int(f.image.mean((0, 1)).argmax()) for f in frames] == [0, 0, 2]
    assert scan.info.duration == pytest.approx(2.4, abs=0.05)
    assert scan.curves.cuts == pytest.approx([1.2], abs=2e-3)
    assert scan.warnings == []

    if audio_codec is not None:
        audio = read_audio(path)
        assert audio.rate == 16_000
        assert audio.duration == pytest.approx(2.4, abs=0.08)
        middle = audio.samples[16_000:32_000]
        spectrum = np.abs(np.fft.rfft(middle))
        assert spectrum.argmax() == 440
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)

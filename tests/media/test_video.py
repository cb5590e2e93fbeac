"""Frames, orientation, time and curves of videos made for the purpose, and of real ones.

Tolerances: times are exact to a container's tick (1 ms in Matroska, less elsewhere), so 1e-3 and
2e-3 mean the very frame; 0.05 s is one frame at 25 frames/s and rounding; light is off by two steps
of 255 after the codec, in limited range; motion by what blocks of pixels round.
"""

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import real_media
from media_files import Clip, Image, sine, write_video
from mgsv.errors import MediaError
from mgsv.media.video import CURVE_RATE, VideoScan, probe_video, read_curves


def grey(level: float) -> Image:
    return np.full((96, 160, 3), round(level), np.uint8)


def corners(_time: float) -> Image:
    """Red, green / blue, white."""
    image = np.zeros((96, 160, 3), np.uint8)
    image[:48, :80, 0] = 255
    image[:48, 80:, 1] = 255
    image[48:, :80, 2] = 255
    image[48:, 80:] = 255
    return image


def names(image: Image) -> list[str]:
    """The colours of an image's corners: top left, top right, bottom left, bottom right."""
    known = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}
    near = [image[4, 4], image[4, -5], image[-5, 4], image[-5, -5]]
    return [
        min(known, key=lambda n: int(np.abs(np.subtract(known[n], pixel, dtype=int)).sum()))
        for pixel in near
    ]


# What a person sees after turning the picture [[red, green], [blue, white]] clockwise.
TURNED = {
    0: ["red", "green", "blue", "white"],
    90: ["blue", "red", "white", "green"],
    180: ["white", "blue", "green", "red"],
    270: ["green", "white", "red", "blue"],
}


class TestOrientation:
    @pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
    @pytest.mark.parametrize("rotation", TURNED)
    def test_rotation(self, tmp_path: Path, rotation: int, container: str) -> None:
        path = write_video(
            tmp_path / f"clip.{container}", Clip(seconds=0.4, paint=corners), rotation=rotation
        )
        frame = next(iter(VideoScan(path, shorter_side=96)))
        info = probe_video(path)
        upright = rotation % 180 == 0
        assert frame.image.shape == ((96, 160, 3) if upright else (160, 96, 3))
        assert (info.width, info.height) == ((160, 96) if upright else (96, 160))
        assert info.rotation == rotation
        assert names(frame.image) == TURNED[rotation]
        # FFmpeg's own reading of the file: degrees anticlockwise
        with av.open(str(path)) as container_:
            assert -next(container_.decode(video=0)).rotation % 360 == rotation

    def test_mirrored(self, tmp_path: Path) -> None:
        for rotation, seen in {
            0: ["green", "red", "white", "blue"],
            90: ["white", "green", "blue", "red"],
        }.items():
            path = write_video(
                tmp_path / f"{rotation}.mp4",
                Clip(seconds=0.4, paint=corners),
                rotation=rotation,
                mirrored=True,
            )
            assert names(next(iter(VideoScan(path, shorter_side=96))).image) == seen

    def test_anamorphic_pixels(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", pixel_aspect=Fraction(4, 3))
        assert (probe_video(path).width, probe_video(path).height) == (213, 96)
        assert next(iter(VideoScan(path, shorter_side=48))).image.shape == (48, 107, 3)

    def test_thin_pictures_do_not_explode(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", Clip(seconds=0.2, width=2048, height=16))
        assert next(iter(VideoScan(path, shorter_side=256))).image.shape == (256, 4096, 3)


class TestTime:
    """Each clip's grey level tells the time its frame was stamped with."""

    @staticmethod
    def brightening(seconds: float) -> Clip:
        return Clip(seconds=seconds, paint=lambda time: grey(20 + 200 * time / seconds))

    @staticmethod
    def stamps(scan: VideoScan, seconds: float) -> list[float]:
        """When each yielded frame was stamped, by its brightness."""
        return [(float(f.image.mean()) - 20) / 200 * seconds for f in scan]

    @pytest.mark.parametrize("container", ["mp4", "mkv"])
    def test_variable_frame_rate(self, tmp_path: Path, container: str) -> None:
        gaps = np.random.default_rng(3).uniform(0.01, 0.4, 40)
        times = [0.0, *np.cumsum(gaps)]
        seconds = times[-1]
        path = write_video(tmp_path / f"clip.{container}", self.brightening(seconds), times=times)
        scan = VideoScan(path, shorter_side=96)
        expected = [max(t for t in times if t <= k) for k in range(int(seconds) + 1)]
        assert self.stamps(scan, seconds) == pytest.approx(expected, abs=0.1)
        assert scan.info.duration == pytest.approx(seconds, abs=0.5)

    @pytest.mark.parametrize(
        "base", [Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 600), Fraction(1, 25)]
    )
    def test_time_bases(self, tmp_path: Path, base: Fraction) -> None:
        # A frame every 7 ticks or so: nothing that counting frames could get right
        step = max(1, round(Fraction(7, 100) / base))
        times = [float(i * step * base) for i in range(60)]
        path = write_video(
            tmp_path / "clip.mp4", self.brightening(times[-1]), times=times, time_base=base
        )
        stamps = self.stamps(VideoScan(path, shorter_side=96), times[-1])
        expected = [max(t for t in times if t <= k + 1e-6) for k in range(len(stamps))]
        assert stamps == pytest.approx(expected, abs=0.05)
        assert len(stamps) == pytest.approx(times[-1], abs=1)

    @pytest.mark.parametrize("container", ["mkv", "ts", "mp4"])
    def test_time_starts_at_the_first_frame(self, tmp_path: Path, container: str) -> None:
        path = write_video(
            tmp_path / f"clip.{container}",
            Clip(seconds=3, cuts=[1.4], colours=[(0, 0, 0), (255, 255, 255)]),
            start=17.3,
        )
        scan = VideoScan(path, shorter_side=96)
        assert [round(float(f.image.mean()), -1) for f in scan] == [0, 0, 260]
        assert scan.curves.cuts == pytest.approx([1.4], abs=2e-3)
        assert scan.info.duration == pytest.approx(3, abs=0.05)
        assert scan.warnings == []

    def test_exactly_whole_seconds_give_no_extra_frame(self, tmp_path: Path) -> None:
        for container in ("mp4", "mkv"):
            path = write_video(tmp_path / f"clip.{container}", Clip(seconds=3, rate=30))
            assert [f.time for f in VideoScan(path, 32)] == [0, 1, 2]

    @pytest.mark.parametrize("frames", [1, 2, 7])
    def test_less_than_a_second(self, tmp_path: Path, frames: int) -> None:
        path = write_video(tmp_path / "clip.mp4", Clip(seconds=frames / 25))
        scan = VideoScan(path, shorter_side=48)
        assert [f.time for f in scan] == [0.0]
        assert scan.info.duration == pytest.approx(frames / 25, abs=1e-3)
        assert len(scan.curves.motion) == len(scan.curves.light) == np.ceil(frames / 2.5)

    def test_a_still_picture_is_repeated(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", self.brightening(4.5), times=[0.0, 0.4, 4.4])
        stamps = self.stamps(VideoScan(path, shorter_side=48), 4.5)
        assert stamps == pytest.approx([0.0, 0.4, 0.4, 0.4, 0.4], abs=0.05)

    def test_curves_alone_are_the_same(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", Clip(cuts=[0.8], speed=lambda _: 0.3))
        scan = VideoScan(path, shorter_side=48)
        list(scan)
        alone = read_curves(path)
        assert np.array_equal(alone.motion, scan.curves.motion)
        assert np.array_equal(alone.cuts, scan.curves.cuts)

    def test_results_before_the_end_are_refused(self, tmp_path: Path) -> None:
        scan = VideoScan(write_video(tmp_path / "clip.mp4"), shorter_side=48)
        next(iter(scan))
        with pytest.raises(RuntimeError):
            _ = scan.curves
        with pytest.raises(RuntimeError):
            _ = scan.info


class TestCurves:
    def test_light(self, tmp_path: Path) -> None:
        clip = Clip(seconds=4, cuts=[1, 2], colours=[(0, 0, 0), (255,) * 3, (128,) * 3])
        light = read_curves(write_video(tmp_path / "clip.mp4", clip)).light
        assert len(light) == 4 * CURVE_RATE
        assert light[:10] == pytest.approx(0, abs=0.01)
        assert light[10:20] == pytest.approx(1, abs=0.01)
        assert light[20:] == pytest.approx(128 / 255, abs=0.01)

    def test_motion_is_luma_per_second(self, tmp_path: Path) -> None:
        # From black to white in 4 s is 0.25 a second, however unevenly it is sampled
        times = np.sort(np.random.default_rng(1).uniform(0, 4, 150))
        times[0] = 0
        clip = Clip(seconds=4, paint=lambda time: grey(255 * time / 4))
        path = write_video(tmp_path / "clip.mkv", clip, times=list(times))
        motion = read_curves(path).motion
        assert motion[2:36] == pytest.approx(0.25, abs=0.06)
        assert motion[:39].mean() == pytest.approx(0.25, abs=0.01)

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [15, 25, 60])
    def test_motion_follows_speed(self, tmp_path: Path, rate: int) -> None:
        def speed(time: float) -> float:
            return 0.25 * (1 + np.sin(2 * np.pi * time / 2))

        clip = Clip(seconds=6, rate=rate, speed=speed)
        motion = read_curves(write_video(tmp_path / "clip.mp4", clip)).motion
        wanted = [speed((t + 0.5) / CURVE_RATE) for t in range(len(motion))]
        assert np.corrcoef(motion, wanted)[0, 1] > 0.95

    def test_a_cut_is_no_motion(self, tmp_path: Path) -> None:
        still = read_curves(write_video(tmp_path / "clip.mp4", Clip(seconds=4, cuts=[1, 2.48])))
        assert still.cuts == pytest.approx([1, 2.48], abs=1e-3)
        assert still.motion.max() < 0.1

    @pytest.mark.slow
    def test_peak_memory_does_not_grow_with_length(self, tmp_path: Path) -> None:
        def peak(seconds: float) -> int:
            path = write_video(tmp_path / f"{seconds}.mp4", Clip(seconds, speed=lambda _: 0.1))
            tracemalloc.start()
            for _ in VideoScan(path, shorter_side=96):
                pass
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return used

        peak(1)  # what is allocated once
        assert peak(40) < peak(4) + 200_000


class TestCuts:
    @pytest.mark.sampled
    @pytest.mark.parametrize("rate", [10, 24, 25, 30, 60])
    def test_exact_times(self, tmp_path: Path, rate: int) -> None:
        frames = np.array([0.7, 1.5, 2.2, 2.9, 3.4]) * rate
        cuts = list(np.round(frames) / rate)
        path = write_video(tmp_path / "clip.mp4", Clip(seconds=4.2, rate=rate, cuts=cuts))
        assert read_curves(path).cuts == pytest.approx(cuts, abs=1e-3)

    def test_amid_motion(self, tmp_path: Path) -> None:
        cuts = [1.0, 2.0, 2.6]
        clip = Clip(seconds=4, cuts=cuts, speed=lambda time: 0.3 + 0.1 * np.sin(5 * time))
        assert read_curves(write_video(tmp_path / "a.mp4", clip)).cuts == pytest.approx(cuts)

    def test_same_light_other_colour(self, tmp_path: Path) -> None:
        # luma of (200, 0, 0) is 60, of (0, 52, 255) about 60
        clip = Clip(cuts=[0.8], colours=[(200, 0, 0), (0, 52, 255)])
        assert read_curves(write_video(tmp_path / "clip.mp4", clip)).cuts == pytest.approx([0.8])

    @pytest.mark.parametrize("speed", [1.0, 2.5, 6.0])
    def test_fast_motion_is_no_cut(self, tmp_path: Path, speed: float) -> None:
        clip = Clip(seconds=3, speed=lambda time: speed if 1 < time < 2 else 0.0)
        assert not len(read_curves(write_video(tmp_path / "clip.mp4", clip)).cuts)

    @pytest.mark.parametrize("flash_seconds", [0.04, 0.08, 0.12])
    def test_flashes_are_no_cuts(self, tmp_path: Path, flash_seconds: float) -> None:
        clip = Clip(
            seconds=4,
            flashes=[0.8, 2.0, 3.0],
            flash_seconds=flash_seconds,
            speed=lambda _: 0.1,
            cuts=[1.6],
        )
        assert read_curves(write_video(tmp_path / "clip.mp4", clip)).cuts == pytest.approx([1.6])

    def test_repeated_frames_are_no_cuts(self, tmp_path: Path) -> None:
        # 8 pictures a second in a 48 frames/s video, as screen recordings are
        clip = Clip(seconds=3, rate=48, speed=lambda _: 0.8)
        offsets = {i: 0.8 * (i // 6) / 8 for i in range(200)}

        def paint(time: float) -> Image:
            return clip.picture(0.0, offsets[round(time * 48)])

        path = write_video(tmp_path / "clip.mp4", Clip(seconds=3, rate=48, paint=paint))
        assert not len(read_curves(path).cuts)

    def test_fades_are_no_cuts(self, tmp_path: Path) -> None:
        clip = Clip(seconds=3, paint=lambda time: grey(255 * min(1, abs(time - 1.5))))
        assert not len(read_curves(write_video(tmp_path / "clip.mp4", clip)).cuts)

    def test_white_frame_between_shots_is_one_cut(self, tmp_path: Path) -> None:
        clip = Clip(seconds=3, cuts=[1.48], flashes=[1.4], flash_seconds=0.08)
        cuts = read_curves(write_video(tmp_path / "clip.mp4", clip)).cuts
        assert len(cuts) == 1
        assert min(abs(cuts[0] - 1.4), abs(cuts[0] - 1.48)) < 1e-3


class TestRealClips:
    def test_bikes(self) -> None:
        scan = VideoScan(real_media.bikes(), shorter_side=256)
        frames = list(scan)
        assert len(frames) == 10
        assert frames[0].image.shape == (256, 602, 3)
        # Looked at frame by frame
        assert scan.curves.cuts == pytest.approx([1.2, 3.04, 5.48, 7.48, 9.68], abs=1e-3)

    @pytest.mark.slow
    def test_big_buck_bunny(self) -> None:
        scan = VideoScan(real_media.big_buck_bunny(), shorter_side=256)
        assert len(list(scan)) == 6
        assert scan.info.has_audio
        assert not len(scan.curves.cuts)

    def test_city(self) -> None:
        scan = VideoScan(real_media.city(), shorter_side=256)
        assert len(list(scan)) == 8
        assert scan.info.codec == "mpeg2video"
        assert scan.curves.cuts == pytest.approx([4.64], abs=1e-3)


class TestDamage:
    @staticmethod
    def packets(path: Path) -> Iterator[tuple[int, int]]:
        """File position and size of each video packet."""
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.pos is not None and packet.size:
                    yield packet.pos, packet.size

    def test_damaged_frames_are_skipped_with_a_warning(self, tmp_path: Path) -> None:
        clip = Clip(seconds=6, cuts=[4.0], speed=lambda _: 0.2)
        path = write_video(tmp_path / "clip.mp4", clip, codec="mpeg4", audio=sine(6, 48_000))
        data = bytearray(path.read_bytes())
        for position, size in list(self.packets(path))[50:60]:
            data[position : position + size] = bytes(size)
        path.write_bytes(data)
        scan = VideoScan(path, shorter_side=48)
        assert [f.time for f in scan] == [0, 1, 2, 3, 4, 5]
        assert scan.info.duration == pytest.approx(6, abs=0.05)
        assert np.abs(scan.curves.cuts - 4).min() < 1e-3
        assert len(scan.warnings) == 1
        assert "damaged" in scan.warnings[0]

    @pytest.mark.parametrize(
        ("codec", "problem"),
        [("mpeg4", "no readable picture"), ("h264", "none of its frames can be decoded")],
    )
    def test_nothing_decodes(self, tmp_path: Path, codec: str, problem: str) -> None:
        path = write_video(tmp_path / "clip.mp4", codec=codec)
        data = bytearray(path.read_bytes())
        for position, size in self.packets(path):
            data[position : position + size] = bytes(size)
        path.write_bytes(data)
        with pytest.raises(MediaError, match=problem):
            list(VideoScan(path))

    def test_cut_short(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", Clip(seconds=6, speed=lambda _: 0.2))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        scan = VideoScan(path, shorter_side=48)
        assert 2 <= len(list(scan)) <= 4
        assert 2 < scan.info.duration < 4
        assert "of the 6.0 s it promises" in " ".join(scan.warnings)

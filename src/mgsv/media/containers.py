"""What the files that a result is written to can hold."""

from __future__ import annotations

from mgsv.media.extent import Hidden

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's writer for each ending an output may have."""

_MP4 = frozenset({"h264", "hevc", "mpeg4", "av1", "libdav1d", "libaom-av1"})
PICTURES = {
    "mp4": _MP4,
    "mov": frozenset({"h264", "hevc", "mpeg4", "mjpeg", "prores"}),
    "matroska": _MP4
    | {"vp8", "vp9", "libvpx", "libvpx-vp9", "mpeg2video", "theora", "mjpeg", "ffv1"},
}
"""Codecs (by decoder) of pictures that go into a container untouched: what players expect to find
there, which for mp4 is less than the format allows."""

LEAVES_OUT = {
    "mp4": Hidden.BEFORE | Hidden.AFTER,
    "mov": Hidden.BEFORE | Hidden.AFTER,
    "matroska": Hidden.NONE,
}
"""What may lead up to the last picture without being shown: QuickTime's edit lists leave it out."""

SUBTITLES = {
    "mp4": frozenset({"mov_text"}),
    "mov": frozenset({"mov_text"}),
    "matroska": frozenset({"srt", "subrip", "ssa", "ass", "webvtt", "pgssub", "dvdsub", "dvbsub"}),
}
"""Codecs (by decoder) of subtitles that go into a container as they are."""

TEXT_SUBTITLES = frozenset({"mov_text", "srt", "subrip", "ssa", "ass", "webvtt", "text"})
"""Those that are text, which every container takes in some form."""

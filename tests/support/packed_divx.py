"""An AVI as DivX wrote it: each packet of a P picture also holds the B picture shown before it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.codeccontext import VideoCodecContext

from media_files import Clip

_PICTURE = b"\0\0\1\xb6"
_MARK = b"\0\0\1\xb2DivX503b1393p"  # as user data; the p says "packed"


def write_packed(path: Path, clip: Clip) -> Path:
    """Write `clip` (a rate of 25) with one B picture after each other one; returns the path."""
    with av.open(str(path), "w", format="avi") as output:
        stream = output.add_mux_stream("mpeg4", rate=25, width=clip.width, height=clip.height)
        stream.time_base = Fraction(1, 25)
        for number, (data, key) in enumerate(_packed(clip)):
            if key:
                at = data.index(_PICTURE)
                data = data[:at] + _MARK + data[at:]
            packet: av.Packet[av.VideoStream] = av.Packet(data)  # type: ignore[assignment]
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe = Fraction(1, 25), key
            packet.stream = stream  # type: ignore[assignment]
            output.mux(packet)
    return path


def _packed(clip: Clip) -> Iterator[tuple[bytes, bool]]:
    pictures = list(_encoded(clip))
    while pictures:
        data, time, key = pictures.pop(0)
        if pictures and pictures[0][1] < time:  # the B picture shown before it
            yield data + pictures.pop(0)[0], key
            # In the B picture's place: "nothing new", which a decoder answers with it.
            bits = f"0101{time % 25:05b}10"
            bits += "0" + "1" * ((-len(bits) - 1) % 8)
            yield _PICTURE + int(bits, 2).to_bytes(len(bits) // 8), False
        else:
            yield data, key


def _encoded(clip: Clip) -> Iterator[tuple[bytes, int, bool]]:
    """Data, place in the order of showing, and whether it is a keyframe, in order of decoding."""
    encoder = av.CodecContext.create("mpeg4", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = clip.width, clip.height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.max_b_frames, encoder.gop_size = 1, 13
    encoder.options = {"qscale": "3", "b_strategy": "0"}
    frames = []
    for number, time in enumerate(clip.times()):
        image = clip.picture(time, clip.speed(time) * time)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        frames.append(frame)
    for given in (*frames, None):
        for packet in encoder.encode(given):
            assert packet.pts is not None
            yield bytes(packet), packet.pts, packet.is_keyframe

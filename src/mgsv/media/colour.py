"""The colours of pictures that are encoded anew: what they are converted to, and how marked.

Numbers are those of ITU-T H.273, which FFmpeg uses too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from mgsv.media.sound import Filter

Alpha = Literal["black", "white"]
"""What is seen through transparent pixels."""

_BT709, _UNKNOWN, _BT601, _BT2020 = 1, 2, (5, 6), 9
_PQ, _HLG = 16, 18
# Values with a meaning that encoders know; damaged files have others.
_MATRICES = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
_PRIMARIES = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 11, 12})
_TRANSFERS = frozenset({1, *range(4, 19)})
_FULL, _LIMITED = int(ColorRange.JPEG), int(ColorRange.MPEG)
_NAMES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}


@dataclass(frozen=True, slots=True)
class Colours:
    """How pictures are stored and marked.

    codec: FFmpeg's encoder. pixels: its pixel format. matrix, primaries, transfer: by H.273.
    range: FFmpeg's. light: x265's parameters for it. filters: what makes them of the pictures as
    decoded.
    """

    codec: str
    pixels: str
    matrix: int
    primaries: int
    transfer: int
    range: int
    light: str
    filters: tuple[Filter, ...]


def colours_for(frame: VideoFrame) -> Colours:
    """What pictures like `frame`, made `opaque` where they have alpha, become.

    RGB, and JPEG's form of it, becomes BT.709, which players take for granted where they ignore
    marks; other pictures keep what they are marked as, or that they are not. High dynamic range is
    kept, which takes 10 bits, and those HEVC; all else is H.264 in 8 bits.
    """
    matrix = _known(frame.colorspace, _MATRICES)
    primaries = _known(frame.color_primaries, _PRIMARIES)
    transfer = _known(frame.color_trc, _TRANSFERS)
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    high = transfer in (_PQ, _HLG)
    from_rgb = is_rgb(frame)
    if from_rgb or (full and matrix in _BT601):
        wide = high or primaries == _BT2020
        matrix = primaries = _BT2020 if wide else _BT709
        transfer = transfer if wide else _BT709
    elif high and matrix == _UNKNOWN:
        matrix = _BT2020
    options = ["flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
    through_rgb = from_rgb or has_alpha(frame)
    if matrix in _NAMES and (through_rgb or matrix != frame.colorspace):
        options.append(f"out_color_matrix={_NAMES[matrix]}")
    if full or from_rgb:
        options.append("out_range=tv")
    pixels = "yuv420p10le" if high else "yuv420p"
    return Colours(
        "libx265" if high else "libx264",
        pixels,
        matrix,
        primaries,
        transfer,
        _LIMITED if full or from_rgb else frame.color_range,
        light_of(frame) if high else "",
        (("scale", ":".join(options)), ("format", pixels)),
    )


def light_of(frame: VideoFrame) -> str:
    """What `frame` says of the display that HDR was graded on, and of its brightest pictures.

    As parameters of x265, "" where it says nothing. Players adapt the picture to their own display
    by it.
    """
    said = []
    display: Any = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    light: Any = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if display is not None:
        # FFmpeg's struct: x and y of red, green, blue and white, least and greatest luminance, each
        # as numerator and denominator; then whether colours and luminances are known.
        *parts, colours, luminances = struct.unpack("=22i", bytes(display)[:88])
        if colours and luminances and all(parts[1::2]):
            values = [Fraction(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            red, green, blue, white = (
                f"({round(x * 50_000)},{round(y * 50_000)})"
                for x, y in zip(values[0:8:2], values[1:8:2], strict=True)
            )
            least, greatest = (round(value * 10_000) for value in values[8:])
            said.append(f"master-display=G{green}B{blue}R{red}WP{white}L({greatest},{least})")
    if light is not None:
        brightest, mean = struct.unpack("=2I", bytes(light)[:8])
        said.append(f"max-cll={brightest},{mean}")
    return ":".join(said)


def take_marks_off(frame: VideoFrame) -> None:
    """Leave `frame` no marks but those that FFmpeg's conversions know and need."""
    if frame.colorspace not in _NAMES and not (frame.colorspace == 0 and frame.format.is_rgb):
        frame.colorspace = _UNKNOWN
    frame.color_primaries = frame.color_trc = _UNKNOWN


def _known(number: int, numbers: frozenset[int]) -> int:
    return number if number in numbers else _UNKNOWN


def is_rgb(frame: VideoFrame) -> bool:
    """Whether the pixels are red, green and blue (or grey, black and white) levels."""
    form = frame.format
    return form.is_rgb or form.has_palette or len(form.components) < 3 or form.name[:3] == "xyz"


def has_alpha(frame: VideoFrame) -> bool:
    """Whether the format has room for transparency."""
    form = frame.format
    return form.has_palette or any(part.is_alpha for part in form.components)


def is_see_through(frame: VideoFrame) -> bool:
    """Whether any pixel of `frame`, which has alpha, is transparent."""
    return bool(frame.to_ndarray(format="rgba")[..., 3].min() < 255)


def opaque(alpha: Alpha, frame: VideoFrame) -> tuple[Filter, ...]:
    """Filters that put pictures like `frame`, which has alpha, on a plain ground."""
    deep = max(part.bits for part in frame.format.components) > 8
    planes = "16le" if deep else ""
    over_black: tuple[Filter, ...] = (("premultiply", "inplace=1"),)
    # Over white is over black with all colours turned into their opposites.
    turned = (("negate", ""), *over_black, ("negate", "")) if alpha == "white" else over_black
    return ("format", f"gbrap{planes}"), *turned, ("format", f"gbrp{planes}")

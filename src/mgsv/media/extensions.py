"""Endings (lower case, no dot) of the files taken for music, videos and pictures in a folder.

A file that is named outright may have any.
"""

from __future__ import annotations

_ENDINGS = "aac ac3 aif aiff ape caf flac m4a m4b mka mp2 mp3 mpc oga ogg opus tta w64 wav wma wv"
MUSIC_EXTENSIONS = frozenset(_ENDINGS.split())

_ENDINGS = "3gp avi flv m4v mkv mov mp4 mpeg mpg mts ogv ts webm wmv"
VIDEO_EXTENSIONS = frozenset(_ENDINGS.split())

STILL_EXTENSIONS = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"})

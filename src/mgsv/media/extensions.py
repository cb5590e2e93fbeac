"""Endings (lower case, no dot) of the files taken for music, videos and pictures in a folder.

A file that is named outright may have any.
"""

from __future__ import annotations


def _endings(text: str) -> frozenset[str]:
    return frozenset(text.split())


MUSIC_EXTENSIONS = _endings(
    "3ga aac ac3 adts aif aifc aiff amr ape au awb bwf caf dsf dts eac3 ec3 flac m4a m4b m4r mka"
    " mp1 mp2 mp3 mpa mpc mpga oga ogg opus ra rf64 snd spx tak tta w64 wav wave weba wma wv"
)

VIDEO_EXTENSIONS = _endings(
    "3g2 3gp asf avi divx dv f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogm ogv qt rm"
    " rmvb ts vob webm wmv"
)

EITHER_EXTENSIONS = _endings("3g2 3gp asf flv m4v mkv mov mp4 ogv qt rm webm")
"""Those of `VIDEO_EXTENSIONS` that songs have, too: what sites and recorders store without a
picture. They are music where nothing moves in them.
"""

STILL_EXTENSIONS = _endings("bmp jpeg jpg png tif tiff webp")

COMPANION_EXTENSIONS = STILL_EXTENSIONS | _endings(
    "avif gif heic heif ico jfif jp2 jxl psd svg thm"  # covers and previews
    " cue log m3u m3u8 pls wpl xspf"  # what is on a disc or in a list
    " ass idx lrc sbv srt ssa sub vtt"  # words
    " accurip ffp md5 par2 sfv sha1 sha256 sha512"  # check sums
    " asd pek pk reapeaks sfk sfl xmp"  # what editors note of a file
    " csv db doc docx epub htm html ini json lnk md nfo odt opf pdf rst rtf tsv txt url webloc xml"
    " yaml yml"
)
"""Files that lie beside music and videos and are neither; they are left out without a note."""

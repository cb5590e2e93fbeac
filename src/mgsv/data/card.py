"""The data card of an exported data set, in the form that hubs read."""

from __future__ import annotations

from collections.abc import Sequence

from mgsv.data.folder import CSV_FOLDER, ENCODERS_FILE, FEATURE_FOLDER
from mgsv.data.stats import SplitStatistics

CHECK_SUMS = "SHA256SUMS"

_CARD = """---
license: {licence}
tags:
- video
- music
- music-grounding
configs:
- config_name: default
  data_files:
{files}---

# {title}

Which moment of which track each video uses, in the layout of MGSV-EC: annotations, one row a video
and times in seconds, and features of pictures and music. There are no videos and no music in it,
and no names: ids are numbers.

| split | videos | tracks | mean video | mean track | from the track's start |
|---|--:|--:|--:|--:|--:|
{table}
Moments were found in the videos' sound by `mgsv annotate`; {left} rows without features were left
out. Tracks that sound alike are together in one split: {groups} groups of tracks.

- `{csv}/`: a CSV for each split.
- `{features}/`: a file of features and one of its mask for each id. `{encoders}` there says which
  encoders made them, if they are known.
- `statistics.json`, and `{sums}` of all files, as `sha256sum` reads it.

Licence: {licence}, of annotations and features. It does not cover the videos and the music.
"""

_HUB_NAMES = {"val": "validation"}


def card(
    title: str, licence: str, splits: Sequence[SplitStatistics], groups: int, left: int
) -> str:
    """Markdown under a YAML head. groups: of tracks that are alike. left: rows left out."""
    files = [
        f"  - split: {_HUB_NAMES.get(one.split, one.split)}\n"
        f"    path: {CSV_FOLDER.as_posix()}/{one.split}_data.csv\n"
        for one in splits
    ]
    table = [
        f"| {one.split} | {one.videos} | {one.tracks} | {one.video_seconds:.1f} s "
        f"| {one.track_seconds:.1f} s | {one.from_start:.0%} |\n"
        for one in splits
    ]
    return _CARD.format(
        title=title,
        licence=licence,
        files="".join(files),
        table="".join(table),
        groups=groups,
        left=left,
        csv=CSV_FOLDER.as_posix(),
        features=FEATURE_FOLDER.as_posix(),
        encoders=ENCODERS_FILE,
        sums=CHECK_SUMS,
    )

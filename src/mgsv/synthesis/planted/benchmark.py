"""The planted benchmark: made-up data in exactly MGSV-EC's layout, with a known way to solve it.

Every track is a latent song (`songs.py`). Its music features are one fixed view of the latent
states, a video's frames are another, noisier view of the states of the music moment the video
uses. A model has to find out, from pairs alone, how the two views correspond, and then where on
the track the video's second-by-second course lies; nothing in a video tells the moment without
its track, and (while `hot` is 0) nothing in a track tells it without the video.

Durations, moment lengths and positions, and the long-tail use of tracks follow the statistics of
MGSV-EC: videos of some 24 s, tracks of some 140 s, a third of the moments within the first half
second, the rest up to 190 s, each moment as long as its video.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mgsv.data.annotations import SPLITS, Row, write_annotations
from mgsv.data.folder import CSV_FOLDER, PACKED_FOLDER, PLANTED, packed_name
from mgsv.data.packed import FloatArray, PackWriter
from mgsv.errors import ConfigError
from mgsv.files import new_folder
from mgsv.jobs import Listener, Progress
from mgsv.synthesis.planted.options import PlantOptions
from mgsv.synthesis.planted.rows import music_id, plan_rows, track_segments, video_frames
from mgsv.synthesis.planted.songs import song, states_at
from mgsv.synthesis.planted.views import views
from mgsv.synthesis.planted.worlds import world_named


def plant(
    output: str | os.PathLike[str],
    options: PlantOptions | None = None,
    *,
    files: bool = False,
    progress: Listener | None = None,
) -> Path:
    """Make a planted benchmark in the new folder `output`, laid out as the hub data set is.

    The features are written as a packed store, and with `files` also as the published folders of
    `.pt` files. `progress` is called after each track and video. The folder appears whole or not at
    all; OutputError where it exists or cannot be written, ConfigError for `files` of a world that
    is not as large as the published files. The same options give the same bytes. Memory stays below
    1 GB at any size: rows are streamed.
    """
    options = options or PlantOptions()
    if files and options.world != "full":
        raise ConfigError(
            f"`files` with `world` {options.world}: published files have MGSV-EC's size",
            "leave `files` out: training and evaluation read the packed stores",
        )
    output = Path(output)
    with new_folder(output, parents=True) as folder:
        _fill(folder, options, files, progress or (lambda _: None))
    return output


def _fill(folder: Path, options: PlantOptions, files: bool, progress: Listener) -> None:
    (folder / PLANTED).write_text(json.dumps(asdict(options), indent=1) + "\n", encoding="utf-8")
    rows = plan_rows(options)
    csvs = folder / CSV_FOLDER
    csvs.mkdir(parents=True)
    for split in SPLITS:
        write_annotations(csvs / f"{split}_data.csv", rows[split])

    world = world_named(options.world)
    frame_view, segment_view = views(options)
    tracks = {row.music_id: row.music_total_duration for split in SPLITS for row in rows[split]}
    numbers = {music_id(options, number): number for number in range(options.tracks)}
    songs = np.zeros((options.tracks, world.segments, options.latent_dim), np.float32)
    with PackWriter(
        folder / PACKED_FOLDER / packed_name("segments"), world.segment_dim, world.segments
    ) as store:
        for done, (name, seconds) in enumerate(tracks.items()):
            number = numbers[name]
            songs[number] = song(options.seed, number, options)
            length = track_segments(seconds, world)
            rng = np.random.default_rng((options.seed, 4, number))
            store.add(name, segment_view.project(songs[number, :length], rng))
            progress(Progress("tracks", done + 1, len(tracks)))
    with PackWriter(
        folder / PACKED_FOLDER / packed_name("frames"), world.frame_dim, world.frames
    ) as store:
        done, total = 0, sum(map(len, rows.values()))
        for split in SPLITS:
            for row in rows[split]:
                rng = np.random.default_rng((options.seed, 5, int(row.video_id)))
                states = video_states(row, songs[numbers[row.music_id]], options, rng)
                store.add(row.video_id, frame_view.project(states, rng))
                done += 1
                progress(Progress("videos", done, total))
    if files:
        from mgsv.data.features import write_folder
        from mgsv.data.packed import PackedStore

        for kind in ("frames", "segments"):
            store_of_kind = PackedStore(folder / PACKED_FOLDER / packed_name(kind))
            write_folder(folder, kind, store_of_kind)


def video_states(
    row: Row, states: FloatArray, options: PlantOptions, rng: np.random.Generator
) -> FloatArray:
    """[F, K] what the video shows at whole seconds: the moment's states, style and noise."""
    seconds = row.music_start + np.arange(video_frames(row, world_named(options.world)))
    shape = (len(seconds), options.latent_dim)
    style = options.style * rng.standard_normal((1, options.latent_dim), np.float32)
    noise = options.noise * rng.standard_normal(shape, np.float32)
    return np.asarray(states_at(states, seconds) + style + noise, np.float32)

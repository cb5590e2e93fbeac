"""One clip grounded in one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from mgsv.encoders.registry import EncoderPair
from mgsv.errors import shown
from mgsv.grounding.clip import read_clip
from mgsv.grounding.options import GroundOptions, OptionFields
from mgsv.grounding.result import Grounding
from mgsv.grounding.session import Music, PathLike, Session, check_weights, opened, pair_of
from mgsv.jobs import Listener
from mgsv.library import Library
from mgsv.library.walk import left_out
from mgsv.methods.base import Method, Query
from mgsv.methods.registry import DEFAULT_METHOD
from mgsv.models.system import System


def ground(
    video: PathLike,
    library: Library | Music,
    *,
    method: str | System | Method = DEFAULT_METHOD,
    encoders: str | EncoderPair = "default",
    encoders_dir: PathLike | None = None,
    fusion: PathLike | None = None,
    progress: Listener | None = None,
    **options: Unpack[OptionFields],
) -> Grounding:
    """Find the tracks of `library`, and the moment on each, that best fit `video`.

    Args:
        video: the clip; any local video file of at least a second.
        library: an open `Library`, or music to open one for: a folder, a track, or several.
        method: how to ground; see `Session`, which grounds many clips quicker.
        encoders: which features are compared; see `Session`.
        encoders_dir: where the paper's encoders find their weights.
        fusion: how far the method is trusted beside past uses; see `Session`.
        progress: called after each track that is indexed, where `library` is music.
        options: the fields of `GroundOptions`, as in `top=3`.

    Raises:
        MediaError: the clip cannot be used.
        LibraryError: the music cannot be opened, or holds no usable track.
        EncoderMismatch: the method was made for features of other encoders.
        ConfigError: an option makes no sense.
    """
    wanted = GroundOptions(**options)
    chosen = opened(method)
    check_weights(chosen, wanted.weights)
    encoders = pair_of(encoders, encoders_dir)
    if isinstance(library, Library):
        session = Session(
            library, method=chosen, encoders=encoders, fusion=fusion, progress=progress
        )
        return session.ground(video, wanted)
    chosen.require(encoders.video, encoders.music)
    query = read_clip(video, chosen, encoders)  # a bad clip is found before anything is indexed
    with Session.open(
        library, method=chosen, encoders=encoders, fusion=fusion, progress=progress
    ) as session:
        report = session.library.report
        notes = [f"left out: {shown(path)}: {reason}" for path, reason in report.failed]
        if report.ignored:
            notes.append(left_out(report.ignored, "music"))
        return session.ground(replace(query, notes=(*query.notes, *notes)), wanted)


def read_query(
    video: PathLike,
    method: str | System | Method = DEFAULT_METHOD,
    *,
    encoders: str | EncoderPair = "default",
) -> Query:
    """The clip as `method` sees it; raises MediaError where it cannot be used."""
    chosen = opened(method)
    return read_clip(video, chosen, pair_of(encoders))

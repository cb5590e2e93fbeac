"""The music library: tracks, their features, and exact search.

Reading order: `library` (what it offers), `index` (what adding a folder does), `store` (what is
kept), `filestore` (where), `learn` (what earlier videos used).
"""

from mgsv.library.index import IndexReport
from mgsv.library.library import CheckReport, Library
from mgsv.library.store import Store
from mgsv.library.stores import default_folder
from mgsv.library.track import Track, TrackCurves, TrackFeatures
from mgsv.library.uses import LearnReport, LibraryUses
from mgsv.media.extensions import MUSIC_EXTENSIONS

__all__ = [
    "MUSIC_EXTENSIONS",
    "CheckReport",
    "IndexReport",
    "LearnReport",
    "Library",
    "LibraryUses",
    "Store",
    "Track",
    "TrackCurves",
    "TrackFeatures",
    "default_folder",
]

"""Which music videos use: the track, the part of it, to the millisecond.

Reading order: `annotate` (the job), `listen` (one video), `locate` (one sound), `index`,
`alignment`, `segmentation`, `copies`.
"""

from mgsv.annotate.annotate import Annotated, annotate
from mgsv.annotate.index import LandmarkIndex
from mgsv.annotate.locate import Match, locate
from mgsv.annotate.options import AnnotateOptions, Dropped

__all__ = [
    "AnnotateOptions",
    "Annotated",
    "Dropped",
    "LandmarkIndex",
    "Match",
    "annotate",
    "locate",
]

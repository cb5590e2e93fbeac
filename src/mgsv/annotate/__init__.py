"""Which music videos use: the track, the part of it, to the millisecond.

Reading order: `annotate` (the job), `listen` (one video), `locate` (one sound), `index`,
`alignment`, `segmentation`, `copies`.
"""

from mgsv.annotate.annotate import Annotated, annotate
from mgsv.annotate.index import LandmarkIndex
from mgsv.annotate.leftout import Dropped
from mgsv.annotate.locate import Match, locate

__all__ = ["Annotated", "Dropped", "LandmarkIndex", "Match", "annotate", "locate"]

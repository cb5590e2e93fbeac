"""Many clips at once: each gets its music, and the music varies.

Reading order: `clips` (which files), `assign` (which track for which clip), `journal` (what is done
when a run ends early), `options`, `run` (the work), `report`, `lists` (which reports a batch
wrote), `watch` (clips as they arrive).
"""

from mgsv.grounding.batch.clips import BatchClip, find_clips
from mgsv.grounding.batch.options import BatchOptions
from mgsv.grounding.batch.report import BatchItem, BatchReport
from mgsv.grounding.batch.run import ground_clips
from mgsv.grounding.batch.watch import watch_folder

__all__ = [
    "BatchClip",
    "BatchItem",
    "BatchOptions",
    "BatchReport",
    "find_clips",
    "ground_clips",
    "watch_folder",
]

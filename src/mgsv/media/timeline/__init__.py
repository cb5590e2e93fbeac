"""Timelines for video editors: the clip, and under it the music, already cut to its moment.

An editor opens one and shows the files in place; nothing is rendered or copied.
"""

from mgsv.media.timeline.write import ENDINGS, FORMATS, Known, TimelineReport, write_timeline

__all__ = ["ENDINGS", "FORMATS", "Known", "TimelineReport", "write_timeline"]

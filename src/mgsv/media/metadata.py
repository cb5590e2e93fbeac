"""What a file says of itself (when, where and with what it was taken, its title, its chapters, its
timecode), on its way into a new file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mgsv.media.extent import Extent

# What a muxer writes of its own, or what was true of the source's form alone.
_OF_THE_FORM = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|vendor_id|duration|rotate|filename"
    r"|mimetype|source_id|.*uid|.*umid|bps|number_of_\w+|_statistics_\w+"
)
_PLACE = "com.apple.quicktime.location.iso6709"
_APPLE = "com.apple.quicktime."
# Tags that QuickTime has a field of its own for, as FFmpeg writes it; what else there is goes into
# a list of free names, where the field would be missed.
_SHARED = {"title", "artist", "album", "date", "comment", "genre", "copyright", "keywords"}
_FIELDS = {
    "mp4": _SHARED
    | {"creation_time", "album_artist", "composer", "grouping", "lyrics", "description"}
    | {"synopsis", "show", "episode_id", "network"},
    "mov": _SHARED | {"creation_time", "author", "make", "model", "location"},
}
# In that list, Apple's programs look for names of their own.
_APPLES_TOO = ("title", "artist", "author", "album", "comment", "copyright", "make", "model")
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Tags:
    """What is written into a new file.

    file, picture: tags of the whole and of its moving picture. options: what the muxer needs to be
    told to write them. located: whether they hold where the clip was taken.
    """

    file: dict[str, str] = field(default_factory=dict)
    picture: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    def with_comment(self, line: str) -> Tags:
        """With `line` at the end of the file's comment."""
        if not line:
            return self
        file = dict(self.file)
        names = [name for name in file if name.lower() in ("comment", _APPLE + "comment")]
        if "movflags" in self.options and _APPLE + "comment" not in names:
            names.append(_APPLE + "comment")
        for name in names or ["comment"]:
            before = file.get(name, "")
            file[name] = f"{before}\n{line}" if before else line
        return replace(self, file=file)

    @property
    def located(self) -> bool:
        names = {name.lower() for name in self.file}
        return bool(names & {"location", _PLACE})


NO_TAGS = Tags(options={"fflags": "+bitexact"})
"""Nothing, the muxer's own name and random numbers included."""


def tags_for(container: str, clip: InputContainer, picture: VideoStream) -> Tags:
    """The tags of `clip` and its `picture` in the form that suits `container` (FFmpeg's name)."""
    file = _own(clip.metadata)
    own = _own(picture.metadata)
    if (code := _timecode(clip, picture)) is not None:
        own["timecode"] = code
    file = {name: value for name, value in file.items() if name.lower() != "timecode"}
    fields = _FIELDS.get(container)
    if fields is None:
        return Tags(file, own)
    file = {_quicktime_name(name): value for name, value in file.items()}
    if fields.issuperset(file):
        return Tags(file, own)
    for name in _APPLES_TOO:
        if name in file:
            file.setdefault(_APPLE + name, file[name])
    if "location" in file:
        file.setdefault(_quicktime_name(_PLACE), file["location"])
    return Tags(file, own, {"movflags": "use_metadata_tags"})


def set_chapters(clip: InputContainer, extent: Extent, output: OutputContainer) -> None:
    """Give `output` the chapters of `clip`, as far as they lie where pictures are shown."""
    origin = extent.start * extent.time_base
    chapters = []
    for chapter in clip.chapters():
        base = chapter["time_base"] or _MILLISECOND
        start = max(Fraction(0), chapter["start"] * base - origin)
        end = min(Fraction(extent.seconds), chapter["end"] * base - origin)
        if start < end:
            chapters.append((round(start * 1000), round(end * 1000), chapter["metadata"]))
    output.set_chapters(
        [
            {"id": n, "start": start, "end": end, "time_base": _MILLISECOND, "metadata": tags}
            for n, (start, end, tags) in enumerate(sorted(chapters, key=lambda c: c[:2]), start=1)
        ]
    )


def _own(tags: dict[str, str]) -> dict[str, str]:
    """`tags` without those of the form, nor those that say the same in a named language."""
    kept = {}
    for name, value in tags.items():
        base = name.rpartition("-")[0] or name
        if not _OF_THE_FORM.fullmatch(base.lower()) and (base == name or base not in tags):
            kept[name] = value
    return kept


def _quicktime_name(name: str) -> str:
    """The name as QuickTime has it; Matroska turns all letters into capitals."""
    if name.isupper() or name.lower().startswith(_APPLE):
        name = name.lower()
    return name.replace("iso6709", "ISO6709")


def _timecode(clip: InputContainer, picture: VideoStream) -> str | None:
    """The timecode of the first picture, wherever the file has it."""
    for tags in (picture.metadata, clip.metadata, *(s.metadata for s in clip.streams.data)):
        for name, value in tags.items():
            if name.lower() == "timecode":
                return value
    return None

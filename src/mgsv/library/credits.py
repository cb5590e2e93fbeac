"""Who made a piece of music, and what may be done with it, as far as somebody wrote that down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from mgsv.library.licences import licence_name, names_licence

UNKNOWN = "unknown"
"""What is said in the place of what nobody wrote down."""

TAGS: Mapping[str, tuple[str, ...]] = {
    "artist": ("artist", "album_artist", "author", "performer", "composer"),
    "title": ("title",),
    "album": ("album",),
    "genre": ("genre",),
    "licence": ("license", "licence", "wcop", "copyright", "copyright message"),
    "source": ("organization", "publisher", "label"),
    "url": ("website", "url", "www", "woas", "woaf", "woar", "wors", "contact"),
}
"""Field → the tags it is taken from, the first that has it; FFmpeg's names, in lower case."""
_MAY_BE_OTHER = ("copyright", "copyright message", "wcop")
"""Tags that hold a licence or something else."""


@dataclass(frozen=True, slots=True)
class Credits:
    """What is known of a track beside its sound; an empty text is what is not."""

    artist: str = ""
    title: str = ""
    album: str = ""
    licence: str = ""
    """A short name as in "CC-BY-4.0" where it is a known licence, else as it was written."""
    source: str = ""
    """Where it was got from: a site, a label."""
    url: str = ""
    genre: str = ""

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> Credits:
        """From a file's own tags (`media.tags.read_tags`)."""
        found = {field: _first(field, tags, names) for field, names in TAGS.items()}
        return cls(**found)

    @classmethod
    def of_json(cls, text: str | None) -> Credits | None:
        """What `as_json` gave; None for None. Fields of a later version are left out."""
        if text is None:
            return None
        known = {field.name for field in fields(cls)}
        values = json.loads(text)
        return cls(**{name: str(value) for name, value in values.items() if name in known})

    def as_json(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    def with_more(self, more: Mapping[str, str]) -> Credits:
        """With the fields of `more` that are not empty in the place of what stands here."""
        known = {field.name: more[field.name] for field in fields(self) if more.get(field.name)}
        if "licence" in known:
            known["licence"] = licence_name(known["licence"])
        return replace(self, **known)

    def line(self, name: str) -> str:
        """As it may be printed under a video. name: the file's, for music without a title."""
        parts = [f"“{self.title or name}” by {self.artist or f'{UNKNOWN} artist'}"]
        if self.album:
            parts.append(f"from “{self.album}”")
        parts.append(f"licence: {self.licence or UNKNOWN}")
        parts += [part for part in (self.source, self.url) if part]
        return ", ".join(parts)

    def as_dict(self) -> dict[str, str]:
        """Every field, with `UNKNOWN` for what is not known."""
        return {name: value or UNKNOWN for name, value in asdict(self).items()}


NO_CREDITS = Credits()


def _first(field: str, tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        text = tags.get(name, "")
        if field == "url" and not text.lower().startswith(("http://", "https://")):
            continue
        if field == "licence" and text:
            if name in _MAY_BE_OTHER and not names_licence(text):
                continue
            return licence_name(text)
        if text:
            return text
    return ""

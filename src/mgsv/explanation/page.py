"""Why the music of many clips fits, as one page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mgsv.errors import MgsvError, reason_of, shown
from mgsv.explanation.explain import clip_pictures, draw_moment
from mgsv.files import StrPath, check_output, write_file
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.result import RankedMoment

if TYPE_CHECKING:
    from mgsv.grounding.session import Session

ENDINGS = (".html",)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1240px; margin: 2em auto; padding: 0 1em;
  color: #1f2933; background: white }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #d3d8de }
img { width: 100%; height: auto }
section { margin-top: 3em }
"""


@dataclass(frozen=True)
class ClipExplained:
    """One clip of a page: its best moment with the picture (PNG) and the sentences on it, or the
    problem that it has.
    """

    video: Path
    moment: RankedMoment | None = None
    picture: bytes = b""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def explain_clips(
    videos: Sequence[Path], session: Session, options: GroundOptions
) -> Iterator[ClipExplained]:
    """Each clip with its best moment, one after the other; a bad clip costs itself alone."""
    for video in videos:
        try:
            found = session.ground(video, options)
            data, reasons = draw_moment(
                found, found[0], session.library, clip_pictures(found), "png"
            )
        except MgsvError as error:
            yield ClipExplained(video, problem=reason_of(error, video))
        else:
            yield ClipExplained(video, found[0], data, reasons, found.notes)


def write_clips_page(
    clips: Sequence[ClipExplained], output: StrPath, *, overwrite: bool = False
) -> Path:
    """Write `output`, a page of `clips` that needs no other file.

    Raises `ConfigError` for another ending than .html, `OutputError` where it exists or cannot be
    written.
    """
    path = check_output(output, ENDINGS, overwrite=overwrite, inputs=[c.video for c in clips])
    write_file(path, page_of(clips), overwrite=overwrite)
    return path


def page_of(clips: Sequence[ClipExplained]) -> str:
    """The document: a table of all clips, then a picture with its sentences for each."""
    rows = "".join(_row(number, clip) for number, clip in enumerate(clips, start=1))
    parts = "".join(_section(number, clip) for number, clip in enumerate(clips, start=1))
    title = f"Why this music: {len(clips)} clips"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        "<table><thead><tr><th>clip</th><th>track</th><th>moment</th><th>score</th><th>why</th>"
        f"</tr></thead><tbody>{rows}</tbody></table>{parts}</main></body></html>\n"
    )


def _row(number: int, clip: ClipExplained) -> str:
    name = _text(clip.video.name)
    if clip.moment is None:
        return f'<tr><td>{name}</td><td colspan="4">{escape(clip.problem)}</td></tr>'
    found = clip.moment
    cells = (
        f'<a href="#clip-{number}">{name}</a>',
        _text(found.track.path.name),
        str(found.moment),
        f"{found.score:.2f}",
        escape(found.why),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _section(number: int, clip: ClipExplained) -> str:
    if clip.moment is None:
        return ""
    image = base64.b64encode(clip.picture).decode("ascii")
    said = escape(" ".join(clip.reasons))
    notes = "".join(f"<p>{escape(note)}</p>" for note in clip.notes)
    return (
        f'<section id="clip-{number}"><h2>{_text(clip.video.name)}</h2>'
        f'<img alt="{said}" src="data:image/png;base64,{image}">{notes}</section>'
    )


def _text(name: str) -> str:
    return escape(shown(name))

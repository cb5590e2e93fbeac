"""MaDe: matching and detection in one network (MGSV, ICCV 2025).

Frames and segments are embedded by one block each; their means match videos to tracks, together
with X-Pool's view of a track by a video; a small detection transformer over both sequences finds
the moment. All variants of the paper's ablation table are fields of
:class:`~mgsv.models.configs.MadeConfig`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models import losses
from mgsv.models.blocks import CrossAttentionBlock
from mgsv.models.chunks import inverse, rows_by_length, sum_over_groups
from mgsv.models.configs import Fusion, MadeConfig, Matching, MomentQuery
from mgsv.models.detr import Detector, compact
from mgsv.models.embedding import Tower
from mgsv.models.matching import Embedded, XPool, log_temperature

Gather = Callable[
    [Embedded, Embedded, tuple[str, ...]], tuple[Embedded, Embedded, tuple[str, ...], int]
]
"""(videos, tracks, track ids) of this process → those of all, and where this process' rows start.

Gradients must flow back to the process that an embedding came from."""


class MaDe(nn.Module):
    """One network that ranks tracks for a video and finds the moment of a track."""

    config: MadeConfig
    places: int | None = 4096
    """Slots in each group of rows of similar length that is computed at once on the CPU; None, and
    other devices: all rows in one. Changes speed and memory, never the result."""

    def __init__(self, config: MadeConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.hidden_dim
        self.video = Tower(c, c.frame_dim, c.max_frames)
        self.music = Tower(c, c.segment_dim, c.max_segments)
        self.log_temperature = log_temperature(c.temperature)
        self.xpool = None if c.matching is Matching.DUAL else XPool(d, c.pool_dropout)
        self.fusion: CrossAttentionBlock | None = None
        if c.fusion is Fusion.CROSS_ATTENTION:
            self.fusion = CrossAttentionBlock(
                d, c.fusion_heads, c.fusion_head_dim, c.embedding_feed_forward, c.embedding_dropout
            )
        self.detector = Detector(
            d,
            c.heads,
            c.feed_forward,
            c.dropout,
            encoder_layers=c.encoder_layers,
            decoder_layers=c.decoder_layers,
            queries=c.queries,
            predict_width=c.predict_width,
        )
        self.criterion = losses.SetCriterion(
            losses.Matcher(c.span_cost, c.giou_cost, c.label_cost),
            {
                "span": losses.span_loss,
                "giou": losses.giou_loss,
                "label": losses.label_loss(c.background_weight),
                "alignment": losses.alignment_loss(c.alignment_temperature),
            },
            {
                "span": c.span_weight,
                "giou": c.giou_weight,
                "label": c.label_weight,
                "alignment": c.alignment_weight,
            },
        )

    # Matching

    def embed_videos(self, batch: Batch) -> Embedded:
        """The batch's videos: frames [B, F, d], their normalised mean [B, d]."""
        return self._embed(self.video, batch.frame_feats, batch.frame_mask)

    def embed_tracks(self, batch: Batch) -> Embedded:
        """The batch's tracks: segments [B, S, d], their normalised mean [B, d]."""
        return self._embed(self.music, batch.segment_feats, batch.segment_mask)

    def _embed(self, tower: Tower, feats: Tensor, mask: Tensor) -> Embedded:
        mask = mask != 0
        groups = rows_by_length(mask, self._places(mask) if tower.rows_are_independent else None)
        parts = [tower(feats[rows, :length], mask[rows, :length]) for rows, length in groups]
        longest = max(part.shape[1] for part in parts)
        parts = [F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts]
        tokens, mask = torch.cat(parts)[inverse(groups)], mask[:, :longest]
        return Embedded(tokens, mask, tower.pool(tokens, mask))

    def _places(self, on: Tensor) -> int | None:
        return self.places if on.device.type == "cpu" else None

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """cos(h(v), h0(M)) [V, M]: one matrix product, for a first choice among many tracks."""
        return videos.pooled @ tracks.pooled.T

    @torch.no_grad()
    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The score p_s [V, M] that ranks, X-Pool included where the config has it."""
        if self.xpool is None:
            return self.score_all(videos, tracks)
        fused = self.config.matching is Matching.FUSED
        pooled = self.xpool.scores(videos.pooled, tracks, fused=fused)
        return self._ranking(self.score_all(videos, tracks), pooled)

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """The score p_s [K] of one video (a row) with K candidate tracks."""
        return self.pair_scores(video, candidates)[0]

    def _ranking(self, dual: Tensor, pooled: Tensor) -> Tensor:
        both = self.config.matching in (Matching.DUAL_AND_POOLED, Matching.SUM)
        return dual + pooled if both else pooled

    # Detection

    @torch.no_grad()
    def detect(self, batch: Batch, embedded: tuple[Embedded, Embedded] | None = None) -> Tensor:
        """Spans of each row's track, best first: [B, Q, 3] = (centre, width, score).

        Centre and width are relative to the canvas, the score is the foreground probability.
        `embedded` are the batch's videos and tracks where they are known already.
        """
        videos, tracks = embedded or (self.embed_videos(batch), self.embed_tracks(batch))
        content = self.moment_content(videos, tracks)
        found = self.detection(batch, videos, tracks, content)
        score = found.logits[-1].softmax(dim=-1)[..., 0]
        best = score.argsort(dim=1, descending=True, stable=True)
        ranked = torch.cat([found.spans[-1], score[..., None]], dim=-1)
        return ranked.gather(1, best[..., None].expand_as(ranked))

    def detection(
        self, batch: Batch, videos: Embedded, tracks: Embedded, content: Tensor
    ) -> losses.Detection:
        """Every decoder layer's spans and logits, for rows (videos[i], tracks[i])."""
        groups = self._groups(videos, tracks)
        parts = [
            self._detect(batch, videos[rows], tracks[rows], content[rows], rows, length)
            for rows, length in groups
        ]
        back = inverse(groups)
        return losses.Detection(
            torch.cat([part.spans for part in parts], dim=1)[:, back],
            torch.cat([part.logits for part in parts], dim=1)[:, back],
            torch.cat([part.queries for part in parts], dim=1)[:, back],
            torch.cat([part.frames for part in parts])[back],
        )

    def _groups(self, videos: Embedded, tracks: Embedded) -> list[tuple[Tensor, int]]:
        counts = videos.mask.sum(dim=1) + tracks.mask.sum(dim=1)
        slots = torch.arange(int(counts.max()), device=counts.device)
        return rows_by_length(slots < counts[:, None], self._places(counts))

    def _detect(
        self,
        batch: Batch,
        videos: Embedded,
        tracks: Embedded,
        content: Tensor,
        rows: Tensor,
        length: int,
    ) -> losses.Detection:
        """Detection of some rows, whose batch is whole and whose embeddings are chosen already."""
        if self.fusion is not None:
            memory, mask = self.fusion(tracks.tokens, videos.tokens, videos.mask), tracks.mask
            memory = memory * mask[..., None]
        else:
            memory = torch.cat([videos.tokens, tracks.tokens], dim=1)
            mask = torch.cat([videos.mask, tracks.mask], dim=1)
        memory, mask = compact(memory, mask, length)
        width = batch.video_seconds[rows] / self.config.canvas_seconds
        found: losses.Detection = self.detector(
            memory, mask, content, width, self._frames(videos)
        )
        return found

    def _frames(self, videos: Embedded) -> Tensor:
        """Sum of the aligned frames over all `max_frames` slots, padded ones included: [B, d]."""
        if self.config.queries == 1 and not torch.is_grad_enabled():
            return torch.zeros_like(videos.pooled)  # one query's share is 1, whatever the frames
        aligned = self.detector.aligned(videos.tokens)
        empty = self.detector.aligned(self.video.padding)
        absent = self.config.max_frames - videos.mask.sum(dim=1, keepdim=True)
        return (aligned * videos.mask[..., None]).sum(dim=1) + absent * empty

    def moment_content(
        self, videos: Embedded, tracks: Embedded, pairs: Tensor | None = None
    ) -> Tensor:
        """Content of the moment queries, [B, d]; `pairs` is X-Pool's view where it is known."""
        query = self.config.moment_query
        if query is MomentQuery.VIDEO:
            return videos.pooled
        if query is MomentQuery.ZERO:
            return torch.zeros_like(videos.pooled)
        if query is MomentQuery.MUSIC:
            return tracks.pooled
        if pairs is not None:
            return pairs
        assert self.xpool is not None  # MadeConfig refuses these queries without it
        seen = self.xpool.pairs(videos.pooled, tracks, fused=False, summaries=True)
        return seen.own if query is MomentQuery.POOLED else seen.mean

    # Training

    def loss(self, batch: Batch, gather: Gather | None = None) -> dict[str, Tensor]:
        """Named, weighted terms whose sum is the loss; only their sum has a gradient.

        Retrieval, InfoNCE on each similarity: `dual`, `pooled`, `sum` or `fused`. Detection, mean
        over rows and summed over the decoder's layers: `span`, `giou`, `label`, `alignment`.
        `gather` brings the other processes' embeddings for more negatives.
        """
        if batch.spans is None:
            raise ValueError("a batch without spans has no loss")
        videos, tracks = self.embed_videos(batch), self.embed_tracks(batch)
        terms, pooled = self._matching_loss(videos, tracks, batch.track_ids, gather)
        content = self.moment_content(videos, tracks, pooled)
        return terms | self._detection_loss(batch, videos, tracks, content)

    def _matching_loss(
        self, videos: Embedded, tracks: Embedded, ids: tuple[str, ...], gather: Gather | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Matching terms, and X-Pool's view of the rows' tracks where the detector asks for it."""
        start, size = 0, len(videos)
        if gather is not None:
            videos, tracks, ids, start = gather(videos, tracks, ids)
        scale = self.log_temperature.exp()
        excluded = None
        if self.config.mask_same_track:
            excluded = losses.same_track(ids, videos.pooled.device)
        scores, matching = {"dual": self.score_all(videos, tracks)}, self.config.matching
        pooled = None
        if self.xpool is not None:
            query = self.config.moment_query
            summaries = query in (MomentQuery.POOLED, MomentQuery.POOLED_BATCH)
            fused = matching is Matching.FUSED
            pairs = self.xpool.pairs(videos.pooled, tracks, fused=fused, summaries=summaries)
            if summaries:
                view = pairs.own if query is MomentQuery.POOLED else pairs.mean
                pooled = view[start : start + size]
            if matching is Matching.DUAL_AND_POOLED:
                scores["pooled"] = pairs.scores
            elif matching is Matching.SUM:
                scores = {"sum": scores["dual"] + pairs.scores}
            else:
                scores = {matching.value: pairs.scores}
        terms = {name: losses.info_nce(s * scale, excluded) for name, s in scores.items()}
        return terms, pooled

    def _detection_loss(
        self, batch: Batch, videos: Embedded, tracks: Embedded, content: Tensor
    ) -> dict[str, Tensor]:
        assert batch.spans is not None
        truth = batch.spans

        def weighted(
            rows: Tensor, length: int, frames: Tensor, segments: Tensor, query: Tensor
        ) -> Tensor:
            found = self._detect(
                batch,
                replace(videos[rows], tokens=frames),
                replace(tracks[rows], tokens=segments),
                query,
                rows,
                length,
            )
            return self.criterion(found, truth[rows]) / len(batch)

        total = sum_over_groups(
            weighted,
            self._groups(videos, tracks),
            (videos.tokens, tracks.tokens, content),
            self._detection_parameters(),
        )
        return dict(zip(self.criterion.terms, total, strict=True))

    def _detection_parameters(self) -> list[nn.Parameter]:
        """What `_detect` uses; the frames' padding may be the video tower's bias."""
        bias = [self.video.projection.bias] if self.video.block is None else []
        return [*self.parameter_groups()["detection"], *bias]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The three groups whose gradients the authors clip separately."""
        groups: dict[str, list[nn.Parameter]] = {"embedding": [], "matching": [], "detection": []}
        of = {"video": "embedding", "music": "embedding"}
        of |= {"xpool": "matching", "log_temperature": "matching"}
        for name, parameter in self.named_parameters():
            groups[of.get(name.partition(".")[0], "detection")].append(parameter)
        return groups


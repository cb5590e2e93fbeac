"""MaDe: matching and detection in one network (MGSV, ICCV 2025).

Frames and segments are embedded by one tower each; their means match videos to tracks, together
with X-Pool's view of a track by a video; a small detection transformer over both sequences finds
the moment. All rows of the paper's ablation table are fields of
:class:`~mgsv.models.configs.MadeConfig`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import Attention, CrossAttentionBlock
from mgsv.models.configs import MadeConfig, Matching, MomentQuery, SequenceFusion
from mgsv.models.cpu.groups import inverse, rows_by_length, sum_over_groups
from mgsv.models.detr import Detector
from mgsv.models.embedding import Tower, TwoTowers
from mgsv.models.losses import DetectorOutput, alignment_loss, info_nce, same_track, set_criterion
from mgsv.models.masks import compact
from mgsv.models.matching import Embedded, Gather, XPool, log_temperature
from mgsv.models.moods import Moods, like_targets, masked_mean, of_all


class MaDe(TwoTowers):
    """One network that ranks tracks for a video and finds the moment of a track."""

    def __init__(self, config: MadeConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.hidden_dim
        self.video = Tower(c, c.frame_dim, c.max_frames, c.embedding)
        self.music = Tower(c, c.segment_dim, c.max_segments, c.embedding)
        self.log_temperature = log_temperature(c.temperature)
        self.xpool = None if c.matching is Matching.DUAL else XPool(d, c.pool_dropout)
        self.fusion: CrossAttentionBlock | None = None
        if c.fusion is SequenceFusion.CROSS_ATTENTION:
            self.fusion = CrossAttentionBlock(
                d, c.fusion_heads, c.fusion_head_dim, c.embedding_feed_forward, c.embedding_dropout
            )
        self.detector = Detector(
            c.layer,
            encoder_layers=c.encoder_layers,
            decoder_layers=c.decoder_layers,
            queries=c.queries,
            predict_width=c.predict_width,
        )
        if c.similarity_start:
            for module in self.detector.modules():
                if isinstance(module, Attention):
                    module.start_as_similarity(c.similarity_start)
        self.moods = Moods(d, c.frame_dim, c.segment_dim) if c.mood_weight else None
        alignment = alignment_loss(c.alignment_temperature), c.alignment_weight
        self.criterion = set_criterion(c, more={"alignment": alignment})

    # Matching

    @property
    def score_meaning(self) -> str:
        """What `pair_scores` are, for people."""
        return {
            Matching.DUAL: "cosine of clip and track, from -1 to 1",
            Matching.POOLED: "cosine of clip and the track as the clip sees it, from -1 to 1",
            Matching.FUSED: "cosine of clip and both views of the track, from -1 to 1",
        }.get(
            self.config.matching,
            "cosine of clip and track plus cosine of clip and the track as the clip sees it, "
            "from -2 to 2",
        )

    @torch.no_grad()
    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The score p_s [V, M] that ranks, X-Pool included where the config has it."""
        dual, matching = self.score_all(videos, tracks), self.config.matching
        if self.xpool is None:
            return dual
        pooled = self.xpool.scores(videos.pooled, tracks, fused=matching is Matching.FUSED)
        return dual + pooled if matching in (Matching.DUAL_AND_POOLED, Matching.SUM) else pooled

    # Detection

    @torch.no_grad()
    def detect(self, batch: Batch, embedded: tuple[Embedded, Embedded] | None = None) -> Tensor:
        """Spans of each row's track, best first: [B, Q, 3] = (centre, width, score).

        Centre and width are relative to the canvas, the score is the foreground probability.
        `embedded` are the batch's videos and tracks where they are known already.
        """
        videos, tracks = embedded or (self.embed_videos(batch), self.embed_tracks(batch))
        return self.detection(batch, videos, tracks).best_first()

    def detection(self, batch: Batch, videos: Embedded, tracks: Embedded) -> DetectorOutput:
        """Every decoder layer's spans and logits, for rows (videos[i], tracks[i])."""
        content, groups = self._content(videos, tracks), self._groups(videos, tracks)
        parts = [
            self._detect(batch.video_seconds[rows], videos[rows], tracks[rows], content[rows], size)
            for rows, size in groups
        ]
        return DetectorOutput.cat(parts, inverse(groups))

    def _detect(
        self, seconds: Tensor, videos: Embedded, tracks: Embedded, content: Tensor, length: int
    ) -> DetectorOutput:
        """The output for one group of rows, whose memory has at most `length` valid places."""
        if self.fusion is not None:
            mask = tracks.mask
            memory = self.fusion(tracks.tokens, videos.tokens, videos.mask) * mask[..., None]
        else:
            memory = torch.cat([videos.tokens, tracks.tokens], dim=1)
            mask = torch.cat([videos.mask, tracks.mask], dim=1)
        width = seconds / self.config.canvas_seconds
        memory, mask = compact(memory, mask, length)  # its positions count valid places only
        found: DetectorOutput = self.detector(memory, mask, content, width, self._frames(videos))
        return found

    def _frames(self, videos: Embedded) -> Tensor:
        """Sum of the aligned frames over all `max_frames` slots, padded ones included: [B, d]."""
        if self.config.queries == 1 and not torch.is_grad_enabled():
            return torch.zeros_like(videos.pooled)  # one query's share is 1, whatever the frames
        aligned = self.detector.aligned(videos.tokens) * videos.mask[..., None]
        absent = self.config.max_frames - videos.mask.sum(dim=1, keepdim=True)
        return aligned.sum(dim=1) + absent * self.detector.aligned(self.video.padding)

    def _content(self, videos: Embedded, tracks: Embedded, seen: Tensor | None = None) -> Tensor:
        """Content of the moment queries, [B, d]; `seen` is X-Pool's view where it is known."""
        query = self.config.moment_query
        if query is MomentQuery.VIDEO:
            return videos.pooled
        if query is MomentQuery.ZERO:
            return torch.zeros_like(videos.pooled)
        if query is MomentQuery.MUSIC:
            return tracks.pooled
        if seen is not None:
            return seen
        assert self.xpool is not None  # MadeConfig refuses these queries without it
        pairs = self.xpool.pairs(videos.pooled, tracks, fused=False, summaries=True)
        return pairs.own if query is MomentQuery.POOLED else pairs.mean

    def _groups(self, videos: Embedded, tracks: Embedded) -> list[tuple[Tensor, int]]:
        counts = videos.mask.sum(dim=1) + tracks.mask.sum(dim=1)
        slots = torch.arange(int(counts.max()), device=counts.device)
        return rows_by_length(slots < counts[:, None], self.places_on(counts))

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
        terms, seen = self._matching_loss(batch, videos, tracks, gather)
        if self.moods is not None:
            step = 1 / self.config.max_segments
            moods = self.moods(batch, videos, tracks, step, gather)
            terms["mood"] = self.config.mood_weight * moods
        content, truth = self._content(videos, tracks, seen), batch.spans

        def detection(
            rows: Tensor, length: int, frames: Tensor, segments: Tensor, query: Tensor
        ) -> Tensor:
            some = replace(videos[rows], tokens=frames), replace(tracks[rows], tokens=segments)
            found = self._detect(batch.video_seconds[rows], *some, query, length)
            return self.criterion(found, truth[rows]) / len(batch)

        # An absent frame may hold the projection's bias, which the alignment loss then sees.
        bias = [] if self.video.block else [self.video.projection.bias]
        values = sum_over_groups(
            detection,
            self._groups(videos, tracks),
            (videos.tokens, tracks.tokens, content),
            [*self.parameter_groups()["detection"], *bias],
        )
        return terms | dict(zip(self.criterion.terms, values, strict=True))

    def _matching_loss(
        self, batch: Batch, videos: Embedded, tracks: Embedded, gather: Gather | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Matching terms, and X-Pool's view of this process' tracks where the detector uses it."""
        start, size, ids = 0, len(videos), batch.track_ids
        targets = self._targets(batch, gather)
        if gather is not None:
            videos, tracks, ids, start = gather(videos, tracks, ids)
        scores, matching = {"dual": self.score_all(videos, tracks)}, self.config.matching
        seen = None
        if self.xpool is not None:
            query, fused = self.config.moment_query, matching is Matching.FUSED
            wanted = query in (MomentQuery.POOLED, MomentQuery.POOLED_BATCH)
            pairs = self.xpool.pairs(videos.pooled, tracks, fused=fused, summaries=wanted)
            if wanted:
                seen = (pairs.own if query is MomentQuery.POOLED else pairs.mean)[start:][:size]
            if matching is Matching.DUAL_AND_POOLED:
                scores["pooled"] = pairs.scores
            elif matching is Matching.SUM:
                scores = {"sum": scores["dual"] + pairs.scores}
            else:
                scores = {matching.value: pairs.scores}
        masked = self.config.mask_same_track
        excluded = same_track(ids, videos.pooled.device) if masked else None
        scale = self.log_temperature.exp()
        return {
            name: info_nce(s * scale, excluded, targets=targets) for name, s in scores.items()
        }, seen

    def _targets(self, batch: Batch, gather: Gather | None) -> Tensor | None:
        """What each row's matching target is, where like tracks share in it."""
        share, temperature = self.config.like_share, self.config.like_temperature
        if not share:
            return None
        heard = masked_mean(batch.segment_feats, batch.segment_mask)
        return like_targets(of_all(heard, gather)[0], share, temperature)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The three groups whose gradients the authors clip separately."""
        groups: dict[str, list[nn.Parameter]] = {"embedding": [], "matching": [], "detection": []}
        group_of = {"video": "embedding", "music": "embedding"}
        group_of |= {"xpool": "matching", "moods": "matching", "log_temperature": "matching"}
        for name, parameter in self.named_parameters():
            groups[group_of.get(name.partition(".")[0], "detection")].append(parameter)
        return groups

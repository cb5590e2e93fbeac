"""CONQUER: a pair of video and track decides where the moment begins, ends, and whether it fits.

(Hou, Ngo & Chan, ACM MM 2021.) Each segment is described together with what the video is to it
(bi-directional attention), and small Transformer blocks over that read off begin and end scores
and, with `similarity=exclusive`, the track's own. All scores depend on the pair, so ranking a whole
set needs another model first, whose best candidates this one ranks: see `Reranks` in the registry.

39,413,632 parameters, where MGSV (ICCV 2025, table 2) gives 39.4 million without saying how. No
configuration of the authors' has that size. The nearest edit, inferred: the exclusive head, no
Transformer layers before the modalities meet, and segments taken as they are, AST's width being the
model's. With 96 and 50 learned positions instead of the authors' 100 and 30 that is 0.03 % more
than 39,401,344. `CONQUER_AUTHORS` has the authors' own configuration.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import refuse_features
from mgsv.models.configs import ConquerConfig, Similarity
from mgsv.models.conquer_blocks import (
    Contextual,
    ModalityEncoder,
    MomentHead,
    TrackHead,
    initialise_bert,
)
from mgsv.models.cpu.groups import sum_over_groups
from mgsv.models.masks import lengths
from mgsv.models.matching import Embedded, Gather

PAIRS_AT_ONCE = 64
"""Pairs of video and track computed together on a CPU, which bounds the memory of ranking."""
PAIRS_ON_A_GPU = 1024
"""The same elsewhere, where small pieces leave most of the device idle."""


class CONQUER(nn.Module):
    """Ranks few tracks and finds moments, pair by pair."""

    def __init__(self, config: ConquerConfig) -> None:
        super().__init__()
        self.config = c = config
        d, sizes = c.hidden_dim, (c.hidden_dim, c.heads, c.feed_forward, c.dropout)
        back = c.backbone_layers
        front = back if c.frame_layers < 0 else c.frame_layers
        self.video = ModalityEncoder(c.frame_dim, *sizes, layers=front, slots=c.max_frames, kind=1)
        width = c.segment_dim if c.project_music else None
        self.music = ModalityEncoder(width, *sizes, layers=back, slots=c.max_segments, kind=0)
        self.similarity = nn.Linear(3 * d, 1, bias=False)
        self.context = Contextual(4 * d, *sizes, c.context_layers)
        self.begin = MomentHead(Contextual(5 * d, *sizes, c.context_layers), c)
        self.end = MomentHead(Contextual(2 * d, *sizes, c.context_layers), c)
        self.ranking: TrackHead | None = None
        if c.similarity is Similarity.EXCLUSIVE:
            self.ranking = TrackHead(Contextual(5 * d, *sizes, c.context_layers), c)
        initialise_bert(self)

    @property
    def score_meaning(self) -> str:
        """What `pair_scores` are, for people."""
        if self.ranking is None:
            return "best begin plus end score on the track, without a fixed scale"
        return "logarithm of ranking × begin × end of the track's best moment, without a fixed zero"

    # Embedding

    def embed_videos(self, batch: Batch) -> Embedded:
        """The batch's videos [B, F, d]; nothing is pooled."""
        c = self.config
        refuse_features(batch.frame_feats, c.max_frames, c.frame_dim)
        return self._embed(self.video, batch.frame_feats, batch.frame_mask, c.max_frames)

    def embed_tracks(self, batch: Batch) -> Embedded:
        """The batch's tracks [B, S, d]; nothing is pooled."""
        c, feats = self.config, batch.segment_feats
        refuse_features(feats, c.max_segments, c.segment_dim)
        if c.normalise_segments:
            feats = F.normalize(feats, dim=-1)
        return self._embed(self.music, feats, batch.segment_mask, c.max_segments)

    def _embed(self, encoder: ModalityEncoder, feats: Tensor, mask: Tensor, slots: int) -> Embedded:
        """Without `mask_padding` padding enters the heads' neighbourhoods and maxima. It is then
        made the same for every batch: all `slots` exist, and hold what the encoder makes of zeros.
        """
        mask = mask != 0
        feats = feats.masked_fill(~mask[..., None], 0.0)
        if not self.config.mask_padding:
            absent = slots - mask.shape[1]
            feats, mask = F.pad(feats, (0, 0, 0, absent)), F.pad(mask, (0, absent))
        tokens = encoder(feats, mask)
        if self.config.mask_padding:
            tokens = tokens * mask[..., None]
        return Embedded(tokens, mask, tokens.new_empty(len(tokens), 0))

    # Pairs

    def pairs(self, videos: Embedded, tracks: Embedded) -> tuple[Tensor, Tensor, Tensor | None]:
        """Begin and end scores [P, S] and track scores [P] of rows (videos[i], tracks[i])."""
        fused = self._fused(videos, tracks)
        context = self.context(fused, tracks.mask)
        both = torch.cat([fused, context], dim=-1)
        begin, features = self.begin(both, tracks.mask)
        end, _ = self.end(torch.cat([context, features], dim=-1), tracks.mask)
        ranking = None if self.ranking is None else self.ranking(both, tracks.mask)
        return begin, end, ranking

    def _fused(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """Segments beside what the video is to them, [P, S, 4 d]."""
        v, t = tracks.tokens, videos.tokens
        of_segment, of_frame, of_both = self.similarity.weight[0].chunk(3)
        scores = (v * of_both) @ t.transpose(1, 2)
        scores = scores + (v @ of_segment)[..., None] + (t @ of_frame)[:, None]
        seen = tracks.mask[..., None] & videos.mask[:, None]
        scores = scores.masked_fill(~seen, -1e10)  # finite: a row of padding sees all alike
        to_segments = scores.softmax(dim=-1) @ t
        weights = scores.amax(dim=-1).softmax(dim=-1)
        whole = weights[:, None] @ v
        return torch.cat([v, to_segments, v * to_segments, v * whole], dim=-1)

    def _joint(self, begin: Tensor, end: Tensor) -> Tensor:
        """begin_i + end_j [P, S, S], -inf where segments i to j are no moment."""
        places = torch.arange(begin.shape[1], device=begin.device)
        length = places - places[:, None]
        c = self.config
        moment = (length >= c.shortest) & (length <= c.longest)
        joint = begin[:, :, None] + end[:, None, :]
        return joint.masked_fill(~moment, float("-inf"))

    # Ranking

    @torch.no_grad()
    def scores_of(self, videos: Embedded, tracks: Embedded, pairs: Tensor) -> Tensor:
        """The score [P] of each of `pairs` [P, 2] = (row of videos, row of tracks).

        Ranking × begin × end of the best moment as a logarithm, the ranking's softmax over the
        candidates left out: it is the same for all. Without the head, the best begin + end.
        """
        parts = []
        for some in _pieces(pairs, _at_once(pairs)):
            begin, end, ranking = self.pairs(videos[some[:, 0]], tracks[some[:, 1]])
            if ranking is None:
                parts.append(self._joint(begin, end).amax(dim=(1, 2)))
            else:
                joint = self._joint(begin.log_softmax(dim=1), end.log_softmax(dim=1))
                parts.append(ranking + joint.amax(dim=(1, 2)))
        return torch.cat(parts) if parts else pairs.new_empty(0, dtype=torch.float32)

    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """`scores_of` all pairs, [V, M]: for few tracks."""
        device = videos.tokens.device
        pairs = torch.cartesian_prod(
            torch.arange(len(videos), device=device), torch.arange(len(tracks), device=device)
        )
        return self.scores_of(videos, tracks, pairs).view(len(videos), len(tracks))

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """`pair_scores` of one video with K candidates, [K]."""
        return self.pair_scores(video, candidates)[0]

    # Detection

    @torch.no_grad()
    def detect(self, batch: Batch, embedded: tuple[Embedded, Embedded] | None = None) -> Tensor:
        """Spans of each row's track, best first: [B, `moments`, 3] = (centre, width, score).

        Centre and width are relative to the canvas, the score is begin × end. `embedded` are the
        batch's videos and tracks where they are known already.
        """
        videos, tracks = embedded or (self.embed_videos(batch), self.embed_tracks(batch))
        parts = []
        everyone = torch.arange(len(videos), device=videos.tokens.device)
        for rows in _pieces(everyone, _at_once(everyone)):
            begin, end, _ = self.pairs(videos[rows], tracks[rows])
            joint = self._joint(begin.log_softmax(dim=1), end.log_softmax(dim=1))
            best = joint.flatten(1).topk(min(self.config.moments, joint[0].numel()), dim=1)
            first, last = best.indices // joint.shape[1], best.indices % joint.shape[1]
            centre, width = (first + last + 1) / 2, last + 1 - first
            spans = torch.stack([centre, width], dim=-1) / self.config.max_segments
            parts.append(torch.cat([spans, best.values.exp()[..., None]], dim=-1))
        return torch.cat(parts)

    # Training

    def loss(self, batch: Batch, gather: Gather | None = None) -> dict[str, Tensor]:
        """Named, weighted terms whose sum is the loss; only their sum has a gradient.

        Each video meets its own track and `negatives` others of the batch, fewer where the batch
        has fewer. `moment` is the cross entropy of begin and of end, each normalised over the
        segments of all its tracks together; `ranking` that of the tracks. Every process draws from
        its own rows: `gather` is not needed, as more rows would not mean more negatives.
        """
        del gather
        if batch.spans is None:
            raise ValueError("a batch without spans has no loss")
        videos, tracks = self.embed_videos(batch), self.embed_tracks(batch)
        rows, drawn = candidates(batch.track_ids, self.config.negatives)
        rows, drawn = rows.to(tracks.tokens.device), drawn.to(tracks.tokens.device)
        first, last = true_segments(batch.spans, tracks.mask, self.config.max_segments)
        mask = tracks.mask[rows]
        # A track serves many rows. Plain indexing would add up its gradient in the order in which
        # threads arrive: not the same twice.
        compared = tracks.tokens.index_select(0, rows.flatten())
        compared = compared.view(*rows.shape, *compared.shape[1:])

        def terms(at: Tensor, _: int, frames: Tensor, segments: Tensor) -> Tensor:
            count = segments.shape[1]
            again = at.repeat_interleave(count)
            own = Embedded(
                frames.repeat_interleave(count, dim=0), videos.mask[again], videos.pooled[again]
            )
            others = Embedded(segments.flatten(0, 1), mask[at].flatten(0, 1), tracks.pooled[again])
            scores = self.pairs(own, others)
            values = shared_losses(*scores, drawn[at], first[at], last[at])
            moment, ranking = self.config.moment_weight, self.config.ranking_weight
            return values * values.new_tensor([moment, ranking][: len(values)]) / len(batch)

        step = max(1, _at_once(rows) // rows.shape[1])
        groups = [(at, mask.shape[2]) for at in _pieces(torch.arange(len(batch)).to(rows), step)]
        inside = (self.similarity, self.context, self.begin, self.end, self.ranking)
        values = sum_over_groups(
            terms,
            groups,
            (videos.tokens, compared),
            [p for part in inside if part is not None for p in part.parameters()],
        )
        return dict(zip(("moment", "ranking"), values, strict=False))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The groups whose gradients are clipped separately."""
        embedding = [*self.video.parameters(), *self.music.parameters()]
        known = {id(parameter) for parameter in embedding}
        rest = [p for p in self.parameters() if id(p) not in known]
        return {"embedding": embedding, "pairs": rest}


def _at_once(on: Tensor) -> int:
    return PAIRS_AT_ONCE if on.device.type == "cpu" else PAIRS_ON_A_GPU


def _pieces(rows: Tensor, size: int) -> list[Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


# --- training: which tracks a video meets, and losses over all of them at once --------------------
#
# B rows, C candidates of each row (its own track first), S segments.


def candidates(track_ids: tuple[str, ...], negatives: int) -> tuple[Tensor, Tensor]:
    """Rows [B, C] whose tracks each row is compared with, and which of them were drawn [B, C].

    The first is the row itself. The others are different tracks, drawn without replacement from the
    batch's with PyTorch's global generator; where there are not enough, the rest is not drawn.
    """
    distinct = {track: row for row, track in reversed([*enumerate(track_ids)])}
    places = torch.tensor([*distinct.values()])
    column = {track: n for n, track in enumerate(distinct)}
    own = torch.tensor([column[track] for track in track_ids])
    lots = torch.rand(len(own), len(places)).scatter_(1, own[:, None], -1.0)
    best = lots.topk(min(negatives, len(places)), dim=1)
    itself = torch.arange(len(own))[:, None]
    rows = torch.cat([itself, places[best.indices]], dim=1)
    return rows, torch.cat([itself >= 0, best.values >= 0], dim=1)


def true_segments(spans: Tensor, mask: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """First and last segment [B] that each true moment touches, on its track with mask [B, S].

    Spans [B, 2] = (centre, width) of a canvas of `slots` segments. An edge that a float's rounding
    put beside a segment's border counts as on it.
    """
    last = (lengths(mask) - 1).clamp_min(0)
    centre, half = spans[:, 0] * slots, spans[:, 1] * slots / 2
    begin = (centre - half + 1e-3).floor().long().clamp_min(0).minimum(last)
    end = ((centre + half - 1e-3).ceil().long() - 1).minimum(last)
    return begin, end.maximum(begin)


def shared_losses(
    begin: Tensor, end: Tensor, ranking: Tensor | None, drawn: Tensor, first: Tensor, last: Tensor
) -> Tensor:
    """Sums over B rows, unweighted: [moment] or [moment, ranking].

    begin and end are [B * C, S], ranking [B * C], drawn [B, C]; first and last [B] are the true
    segments on each row's first track.
    """
    edges = [
        scores.view(*drawn.shape, -1).masked_fill(~drawn[..., None], float("-inf")).flatten(1)
        for scores in (begin, end)
    ]
    sums = [
        F.cross_entropy(scores, true, reduction="sum")
        for scores, true in zip(edges, (first, last), strict=True)
    ]
    terms = [sums[0] + sums[1]]
    if ranking is not None:
        tracks = ranking.view(drawn.shape).masked_fill(~drawn, float("-inf"))
        terms.append(F.cross_entropy(tracks, torch.zeros_like(first), reduction="sum"))
    return torch.stack(terms)

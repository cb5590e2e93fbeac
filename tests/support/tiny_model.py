"""A small model with the whole model interface, and made-up pairs for it: fast enough for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgsv.data.annotations import Annotations, Row
from mgsv.data.batch import Batch
from mgsv.models.configs import InputConfig
from mgsv.models.matching import Embedded
from mgsv.moment import CANVAS_SECONDS

FRAME_DIM, SEGMENT_DIM = 5, 7


class TinyModel(nn.Module):
    """Two linear towers and a span head; dropout makes its loss depend on the random generator."""

    config = InputConfig()

    def __init__(self, dim: int = 8, dropout: float = 0.3) -> None:
        super().__init__()
        self.frames = nn.Linear(FRAME_DIM, dim)
        self.segments = nn.Linear(SEGMENT_DIM, dim)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * dim, 3))

    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        return {
            "embedding": [*self.frames.parameters(), *self.segments.parameters()],
            "matching": [self.temperature],
            "detection": list(self.head.parameters()),
        }

    def embed_videos(self, batch: Batch) -> Embedded:
        return _embedded(self.frames(batch.frame_feats), batch.frame_mask)

    def embed_tracks(self, batch: Batch) -> Embedded:
        return _embedded(self.segments(batch.segment_feats), batch.segment_mask)

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        return videos.pooled @ tracks.pooled.T

    pair_scores = score_all

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        return self.score_all(video, candidates)[0]

    def _head(self, videos: Embedded, tracks: Embedded) -> Tensor:
        return self.head(torch.cat([videos.pooled, tracks.pooled], dim=-1)).sigmoid()

    def detect(self, batch: Batch, embedded: tuple[Embedded, Embedded] | None = None) -> Tensor:
        videos, tracks = embedded or (self.embed_videos(batch), self.embed_tracks(batch))
        return self._head(videos, tracks)[:, None]

    def loss(self, batch: Batch, gather=None) -> dict[str, Tensor]:
        videos, tracks = self.embed_videos(batch), self.embed_tracks(batch)
        spans = self._head(videos, tracks)[:, :2]
        if gather is not None:
            videos, tracks, _, _ = gather(videos, tracks, batch.track_ids)
        logits = self.score_all(videos, tracks) * self.temperature.exp()
        # A term on all segments, so that what is gathered with padding matters too.
        logits = logits + tracks.tokens.sum(dim=(1, 2)) * 0.01
        target = torch.arange(len(logits))
        return {
            "retrieval": F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target),
            "spans": F.l1_loss(spans, batch.spans),
        }


class TinyPairs:
    """Rows whose features are drawn from a seed; lengths differ from row to row."""

    def __init__(self, rows: int = 24, seed: int = 0, batch_size: int = 8, tracks: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.batch_size = batch_size
        tracks = tracks or rows
        seconds = rng.uniform(60, 300, tracks)
        self.rows = Annotations(tuple(_row(i, i % tracks, seconds, rng) for i in range(rows)))
        self.frames = [rng.normal(size=(n, FRAME_DIM)) for n in rng.integers(3, 9, rows)]
        lengths = rng.integers(4, 12, tracks)
        songs = [rng.normal(size=(n, SEGMENT_DIM)) for n in lengths]
        self.segments = [songs[i % tracks] for i in range(rows)]

    def __len__(self) -> int:
        return len(self.rows)

    def plan(self, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng([7, epoch]).permutation(len(self))
        whole = len(self) // self.batch_size * self.batch_size
        return list(order[:whole].reshape(-1, self.batch_size))

    def batch(self, rows: np.ndarray) -> Batch:
        frames, frame_mask = _padded([self.frames[i] for i in rows])
        segments, segment_mask = _padded([self.segments[i] for i in rows])
        picked = [self.rows[int(i)] for i in rows]
        return Batch(
            frame_feats=frames,
            frame_mask=frame_mask,
            segment_feats=segments,
            segment_mask=segment_mask,
            video_seconds=torch.tensor([row.video_seconds for row in picked]),
            track_seconds=torch.tensor([row.music_total_duration for row in picked]),
            video_ids=tuple(row.video_id for row in picked),
            track_ids=tuple(row.music_id for row in picked),
            spans=torch.from_numpy(self.rows.spans[rows]),
        )


def _row(video: int, track: int, track_seconds: np.ndarray, rng: np.random.Generator) -> Row:
    length = rng.uniform(5, 50)
    total = float(track_seconds[track])
    start = rng.uniform(0, min(total, CANVAS_SECONDS) - length)
    values = dict.fromkeys(Row.__dataclass_fields__, None) | {
        "video_id": str(video),
        "music_id": f"m{track}",
        "video_start": 0.0,
        "video_end": length,
        "music_start": start,
        "music_end": start + length,
        "music_total_duration": total,
        "video_category": "dance" if video % 3 else "food",
    }
    return Row(**values)


def _embedded(tokens: Tensor, mask: Tensor) -> Embedded:
    tokens = tokens * mask[..., None]
    return Embedded(tokens, mask != 0, F.normalize(tokens.sum(1), dim=-1))


def _padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    values = torch.zeros(len(rows), longest, rows[0].shape[1])
    mask = torch.zeros(len(rows), longest)
    for i, row in enumerate(rows):
        values[i, : len(row)] = torch.from_numpy(row)
        mask[i, : len(row)] = 1
    return values, mask

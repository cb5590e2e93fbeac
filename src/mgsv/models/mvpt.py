"""MVPt and MVPt+: two towers that match a video to whole tracks (Suris et al., CVPR 2022).

Each modality has a Transformer of its own over its features; the normalised means of video and
track are compared by their cosine. 3,618,817 parameters, where MGSV (ICCV 2025, table 2) gives
3.6 million for both: MaDe's towers with two layers each, and a temperature.

What sets MVPt+ apart is not published. Its size excludes X-Pool (3.9 million), so it must be a
change of loss or pooling. Inferred here: both are trained with MaDe's symmetric InfoNCE, and MVPt+
leaves other rows of the same track out of a video's negatives (`mask_same_track`), a form that the
authors' code holds without using it; with 13 videos to a track such rows are no rarity.
"""

from __future__ import annotations

from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.configs import MvptConfig
from mgsv.models.embedding import Tower, TwoTowers
from mgsv.models.losses import info_nce, same_track
from mgsv.models.matching import Gather, log_temperature


class MVPt(TwoTowers):
    """Ranks tracks for a video; finds no moments."""

    score_meaning = "cosine of clip and track, from -1 to 1"

    def __init__(self, config: MvptConfig) -> None:
        super().__init__()
        self.config = c = config
        self.video = Tower(c, c.frame_dim, c.max_frames, layers=c.embedding_layers)
        self.music = Tower(c, c.segment_dim, c.max_segments, layers=c.embedding_layers)
        self.log_temperature = log_temperature(c.temperature)

    def loss(self, batch: Batch, gather: Gather | None = None) -> dict[str, Tensor]:
        """`dual`: symmetric InfoNCE over the batch, or over all processes' with `gather`."""
        videos, tracks, ids = self.embed_videos(batch), self.embed_tracks(batch), batch.track_ids
        if gather is not None:
            videos, tracks, ids, _ = gather(videos, tracks, ids)
        masked = self.config.mask_same_track
        excluded = same_track(ids, videos.pooled.device) if masked else None
        logits = self.score_all(videos, tracks) * self.log_temperature.exp()
        return {"dual": info_nce(logits, excluded)}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The groups whose gradients are clipped separately, as in MaDe."""
        towers = [*self.video.parameters(), *self.music.parameters()]
        return {"embedding": towers, "matching": [self.log_temperature]}

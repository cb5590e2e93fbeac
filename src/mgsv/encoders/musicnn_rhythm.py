"""The default music encoder: how each 2.5 s sounds (MusiCNN) and how it moves (its rhythm)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from mgsv.encoders.registry import (
    DEFAULT_MUSIC,
    SEGMENT_STEP,
    Features,
    MusicFeatures,
    fingerprint,
    segment_count,
)
from mgsv.encoders.rhythm_features import RHYTHM_CHANNELS, rhythm_features
from mgsv.encoders.weights import MUSICNN

if TYPE_CHECKING:
    from mgsv.media.audio import Audio
    from mgsv.media.rhythm import Rhythm

SOUND_DIM = 753
PATCH_SECONDS = 3.0


class MusicnnRhythm:
    """Rows of 753 sound values (mean-pooled MusiCNN features), then the 8 of `RHYTHM_CHANNELS`.

    Row k's sound is that of [2.5 k, 2.5 k + 3) s, the network's patch; beyond the track's end lies
    silence. Its rhythm is that of [2.5 k, 2.5 k + 2.5) s, as far as the track goes. The mean-pooled
    features tell moods apart better than the network's later layers, which are made for its tags.
    """

    name = DEFAULT_MUSIC
    dim = SOUND_DIM + len(RHYTHM_CHANNELS)
    rate = 16_000
    channel: Literal["mix"] = "mix"
    step = SEGMENT_STEP
    version = 1

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: not needed; the weights come with mgsv."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()  # another process has a fingerprint of its own

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.name, self.version, MUSICNN.published)

    def encode(self, audio: Audio, rhythm: Rhythm) -> MusicFeatures:
        from mgsv.encoders.musicnn import TAGS

        rows, probabilities = self.encode_segments(audio, rhythm)
        segments = len(rows)
        # A patch that hangs over the end tells less of the track, and in part of silence.
        heard = np.minimum(audio.duration - np.arange(segments) * self.step, PATCH_SECONDS)
        mean = np.average(probabilities, axis=0, weights=np.maximum(heard, 1e-3))
        return MusicFeatures(
            segments=rows,
            tags=dict(zip(TAGS, mean.tolist(), strict=True)),
        )

    def encode_segments(self, audio: Audio, rhythm: Rhythm) -> tuple[Features, Features]:
        """Features [S, dim], and the probability of each of `musicnn.TAGS` [S, 50], per segment."""
        from mgsv.encoders.musicnn import embed_track

        if audio.rate != self.rate:
            raise ValueError(f"{self.name} takes audio at {self.rate} Hz, not {audio.rate}")
        segments = segment_count(audio.duration)
        sound, probabilities = embed_track(audio.samples, segments)
        return np.hstack([sound, rhythm_features(rhythm, segments)]), probabilities


def readable_tags(tags: Mapping[str, float], n: int = 3) -> tuple[str, ...]:
    """The n most probable tags, best first, without those that say the same as a better one.

    "indie" adds nothing to "indie rock", nor the other way round; a tag is left out when all of
    one's words are among the other's, or when the two are known synonyms.
    """
    chosen: list[str] = []
    for tag in sorted(tags, key=lambda tag: -tags[tag]):
        words = _words(tag)
        if not any(words <= _words(other) or words >= _words(other) for other in chosen):
            chosen.append(tag)
        if len(chosen) == n:
            break
    return tuple(tag.lower() for tag in chosen)


_SYNONYMS = {"vocalists": "vocalist", "chillout": "chill", "electronica": "electronic",
             "electro": "electronic", "mellow": "chill"}  # fmt: skip


def _words(tag: str) -> frozenset[str]:
    return frozenset(_SYNONYMS.get(word, word) for word in tag.lower().split())

"""The paper's music encoder: the Audio Spectrogram Transformer on 10 s windows, 768 values.

Window k is centred on c = 2.5 k s: the samples of [c − 5, c + 5] s that lie on the canvas, which
is 240 s long (longer for longer tracks) and silent after the track's end. Its filter bank is cut
or zero-padded to 1024 frames, then scaled by AudioSet's mean and deviation, padding included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mgsv.encoders.hub import PretrainedEncoder
from mgsv.encoders.registry import SEGMENT_STEP, Features, MusicFeatures, batches, segment_count
from mgsv.moment import CANVAS_SECONDS

if TYPE_CHECKING:
    from torch import Tensor

    from mgsv.media.audio import Audio
    from mgsv.media.rhythm import Rhythm

REACH = 5.0  # seconds to either side of a window's centre
FRAMES = 1024
# Mean and standard deviation of AudioSet's filter banks; the model takes half of the usual scale.
MEAN, DEVIATION = -4.2677393, 4.5689974
BATCH = 4


class AstEncoder(PretrainedEncoder):
    """Rows of 768 values: the mean of class and distillation token after the last norm."""

    name = "ast-audioset"
    dim = 768
    rate = 16_000
    channel: Literal["first"] = "first"
    step = SEGMENT_STEP
    version = 1
    repository = "MIT/ast-finetuned-audioset-10-10-0.4593"
    class_name, width = "ASTModel", "hidden_size"

    def encode(
        self,
        audio: Audio,
        rhythm: Rhythm,  # noqa: ARG002 (part of the protocol)
    ) -> MusicFeatures:
        centres = np.arange(segment_count(audio.duration)) * self.step
        return MusicFeatures(self.encode_windows(audio, centres.tolist()))

    def encode_windows(self, audio: Audio, centres: Sequence[float]) -> Features:
        """float32 [len(centres), 768] of the windows centred on rising `centres`, in seconds."""
        import torch

        if audio.rate != self.rate:
            raise ValueError(f"{self.name} takes audio at {self.rate} Hz, not {audio.rate}")
        rows = [np.empty((0, self.dim), np.float32)]
        with torch.inference_mode():
            for batch in batches(windows(audio.samples, centres), BATCH):
                # The model's pooled output is the mean of its two summary tokens.
                output = self.network(input_values=torch.stack(batch)).pooler_output
                rows.append(output.numpy())
        return np.concatenate(rows)


def windows(samples: npt.NDArray[np.float32], centres: Sequence[float]) -> Iterator[Tensor]:
    """The model's input [1024, 128] for each centre, of a mono waveform [N] at 16 kHz.

    The filter bank is computed once and cut: centres are whole numbers of its 10 ms hops apart, so
    this equals computing it window by window, at a quarter of the work.
    """
    import torch
    import torch.nn.functional as F

    from mgsv.encoders import fbank

    canvas = max(CANVAS_SECONDS, SEGMENT_STEP * segment_count(len(samples) / fbank.RATE))
    if not centres:
        return
    needed = round(min(canvas, max(centres) + REACH) * fbank.RATE)
    heard = torch.from_numpy(samples[:needed])
    bank = fbank.fbank(F.pad(heard, (0, needed - len(heard))))
    for centre in centres:
        start, stop = max(0.0, centre - REACH), min(canvas, centre + REACH)
        first = round(start * fbank.RATE) // fbank.HOP
        count = fbank.frame_count(round((stop - start) * fbank.RATE))
        window = bank[first : first + count][:FRAMES]
        yield (F.pad(window, (0, 0, 0, FRAMES - len(window))) - MEAN) / (2 * DEVIATION)

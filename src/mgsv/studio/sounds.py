"""Sound as a file in memory."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgsv.media.sound import RATE

WAV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"audio/wav": {"schema": {"type": "string"}}}}
}
"""How OpenAPI says that a response is one."""


def wav(samples: NDArray[np.int16]) -> bytes:
    """A WAV file of stereo `samples` [N, 2] at 48 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()

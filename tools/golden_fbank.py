"""Record torchaudio's Kaldi filter bank of the waveform in tests/golden/musicnn.safetensors.

    pip install torch torchaudio safetensors      # an environment of its own
    python tools/golden_fbank.py

The settings are those AST was trained with. Written to tests/golden/fbank.safetensors: fbank
[T, 128] float32.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torchaudio.compliance import kaldi

GOLDEN = Path(__file__).parents[1] / "tests/golden"


def main() -> None:
    waveform = load_file(GOLDEN / "musicnn.safetensors")["waveform"].float() / 32768
    bank = kaldi.fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=16_000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )
    save_file({"fbank": bank}, GOLDEN / "fbank.safetensors", {"source": "torchaudio 2.11.0"})


if __name__ == "__main__":
    main()

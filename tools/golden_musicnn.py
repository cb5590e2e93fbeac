"""Record what the original MusiCNN makes of ten patches, as the reference of the parity tests.

    pip install tensorflow-cpu librosa av safetensors immich-memories-music
    python tools/golden_musicnn.py musicnn-0.1.0-py3-none-any.whl

Runs the original TensorFlow graph (`.meta`) with its own checkpoint, and librosa for the front end,
so nothing of mgsv takes part; it wants an environment of its own.
Written to tests/golden/musicnn.safetensors:

    waveform [N] int16      the first 3 s of the first track at 16 kHz, × 32768
    log_mel [T, 96]         librosa's log-mel spectrogram of that waveform
    patches [10, 187, 96]   fp16 (the values fed to the graph, after rounding), one of each track
    mean_pool, max_pool [10, 753], penultimate [10, 200], tags [10, 50]   the graph's outputs
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import av
import immich_memories_music
import librosa
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

MODEL = "musicnn/MSD_musicnn/"
OUTPUT = Path(__file__).parents[1] / "tests/golden/musicnn.safetensors"
RATE, HOP, PATCH_FRAMES = 16_000, 256, 187
OUTPUTS = {
    "tags": "model/Sigmoid:0",
    "mean_pool": "model/moments/Squeeze:0",
    "max_pool": "model/Max:0",
    "penultimate": "model/batch_normalization_10/batchnorm/add_1:0",
}


def read_mono(path: Path, seconds: float) -> np.ndarray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            parts += [f.to_ndarray()[0] for f in resampler.resample(frame)]
            if sum(map(len, parts)) > seconds * RATE:
                break
    return np.concatenate(parts)[: int(seconds * RATE)]


def log_mel(samples: np.ndarray) -> np.ndarray:
    """The original's front end without its cast to float16, with today's librosa defaults."""
    mel = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=512, hop_length=HOP, n_mels=96, pad_mode="constant"
    )
    return np.log10(10_000 * mel.T + 1).astype(np.float32)


def run_original(folder: Path, patches: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of the original graph. The variables' values are fed, so that only the part of the
    graph that leads to the outputs is imported: its gradients no longer load in today's TensorFlow.
    """
    tf.compat.v1.disable_eager_execution()
    meta = tf.compat.v1.MetaGraphDef()
    meta.ParseFromString((folder / ".meta").read_bytes())
    wanted = [name.removesuffix(":0") for name in OUTPUTS.values()]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(meta.graph_def, wanted)
    checkpoint = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    nodes = {node.name for node in graph_def.node}
    feed = {
        f"{name}/read:0": checkpoint.get_tensor(name)
        for name in checkpoint.get_variable_to_shape_map()
        if f"{name}/read" in nodes
    }
    placeholders = [node for node in graph_def.node if node.op == "Placeholder"]
    (training,) = [n.name for n in placeholders if n.attr["dtype"].type == tf.bool.as_datatype_enum]
    (inputs,) = [n.name for n in placeholders if n.name != training]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            feed |= {f"{training}:0": False, f"{inputs}:0": patches}
            return {
                name: np.asarray(session.run(tensor, feed)).reshape(len(patches), -1)
                for name, tensor in OUTPUTS.items()
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="musicnn-0.1.0-py3-none-any.whl")
    arguments = parser.parse_args()

    root = Path(immich_memories_music.__file__).parent / "tracks"
    tracks = sorted(root.rglob("*.opus"))[::3][:10]
    waves = [read_mono(track, seconds=15.0) for track in tracks]
    waveform = np.round(waves[0][: 3 * RATE].clip(-1, 1 - 2**-15) * 32768).astype(np.int16)
    patches = np.stack([log_mel(wave)[300 : 300 + PATCH_FRAMES] for wave in waves])
    patches = patches.astype(np.float16)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(arguments.wheel) as wheel:
        wheel.extractall(folder, [n for n in wheel.namelist() if n.startswith(MODEL)])
        outputs = run_original(Path(folder) / MODEL, patches.astype(np.float32))
    tensors = {
        "waveform": waveform,
        "log_mel": log_mel(waveform.astype(np.float32) / 32768),
        "patches": patches,
        **outputs,
    }
    source = "musicnn 0.1.0 (ISC) on tracks of immich-memories-music 0.1.0 (MIT)"
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, OUTPUT, {"source": source})


if __name__ == "__main__":
    main()

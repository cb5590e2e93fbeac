"""Checkpoints: ours on disk, the authors' imported, and everything that must be refused."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mgsv.errors import ConfigError, EncoderMismatch, OutputError
from mgsv.models.authors import import_checkpoint, read_weights, replay
from mgsv.models.checkpoint import FORMAT, load, save
from mgsv.models.made import MaDe
from mgsv.models.registry import Detects, Matches, build, config_of, list_models
from mgsv.runtime.model import Encoder, Encoders
from model_support import SMALL, Golden, small_batch, small_made

ENCODERS = Encoders(Encoder("frames", 12, "f" * 64), Encoder("segments", 10, "5" * 64))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return save(
        tmp_path / "new" / "model.safetensors",
        "made",
        small_made(queries=2, embedding="mlp"),
        ENCODERS,
        record={"epochs": 3},
        licence="CC BY-NC 4.0",
    )


def test_round_trip(written: Path) -> None:
    loaded = load(written, ENCODERS)
    assert (loaded.name, loaded.record, loaded.licence) == ("made", {"epochs": 3}, "CC BY-NC 4.0")
    assert loaded.encoders == ENCODERS
    assert isinstance(loaded.model, MaDe) and not loaded.model.training
    batch = small_batch()
    expected = small_made(queries=2, embedding="mlp").detect(batch)
    assert torch.equal(loaded.model.detect(batch), expected)
    assert [*written.parent.iterdir()] == [written]  # nothing temporary stays


def test_nothing_is_overwritten(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save(written, "made", small_made(), ENCODERS, record={}, licence="")
    assert written.read_bytes() == before
    assert [*written.parent.iterdir()] == [written]


def test_other_encoders_are_refused_by_both_names(written: Path) -> None:
    other = replace(ENCODERS, music=Encoder("other", 10))
    with pytest.raises(EncoderMismatch, match=r"segments.*other"):
        load(written, other)
    changed = replace(ENCODERS, video=Encoder("frames", 12, "e" * 64))
    with pytest.raises(EncoderMismatch, match=r"frames.*ffff.*frames.*eeee"):
        load(written, changed)
    unknown = replace(ENCODERS, video=Encoder("frames", 12))
    load(written, unknown)  # a fingerprint nobody knows refuses nothing


@pytest.mark.parametrize("size", [0, 5, 200, -1, -1000])
def test_truncated_files_are_refused(written: Path, size: int) -> None:
    broken = written.with_name("broken")
    broken.write_bytes(written.read_bytes()[:size])
    with pytest.raises(ConfigError, match=r"broken: truncated or not a checkpoint"):
        load(broken)


@pytest.mark.parametrize(
    "content", [b"\xff" * 300, (2**62).to_bytes(8, "little") + b"{}", b"PK\x03\x04" + b"0" * 100]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="garbage: truncated or not a checkpoint"):
        load(path)


def test_missing_and_unreadable_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: no such file"):
        load(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: is not a regular file"):
        load(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="truncated or not a checkpoint"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save(tmp_path / "file" / "x", "made", small_made(), ENCODERS, record={}, licence="")


def edited(path: Path, **changes: str | None) -> Path:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
    target = path.with_name("edited")
    save_file(load_file(path), target, {k: v for k, v in metadata.items() if v is not None})
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not a checkpoint of this project"),
        ({"model": "unheard-of"}, "there is no model 'unheard-of'"),
        ({"config": "{"}, "damaged metadata"),
        ({"config": '{"hiden_dim": 3}'}, "hiden_dim: no such field"),
        ({"config": "[]"}, "must be a table"),
        ({"encoders": '{"video": {"dim": "x"}}'}, r"encoders\.video\.dim='x' is not a whole"),
        ({"record": None}, "damaged metadata"),
        ({"licence": None}, "damaged metadata"),
    ],
)
def test_damaged_metadata_is_named(
    written: Path, changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"edited: .*{message}"):
        load(edited(written, **changes))


def test_weights_at_odds_with_the_config_are_named(written: Path) -> None:
    config = {**SMALL, "queries": 2, "embedding": "mlp"}
    for change, message in (
        (
            {"queries": 3},
            r"weight detector.query_positions is \[2, 32\], the config says \[3, 32\]",
        ),
        ({"encoder_layers": 3}, "weights are missing"),
        ({"encoder_layers": 1}, "weights are unknown"),
        ({"hidden_dim": 65_536}, r"the config says \[.*65536"),  # 17 GB a matrix, never allocated
        ({"decoder_layers": 10**9}, "decoder_layers=1000000000 is more than 64"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(edited(written, config=json.dumps({**config, **change})))


def test_a_plain_safetensors_file_is_no_checkpoint(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(ConfigError, match="not a checkpoint of this project"):
        load(tmp_path / "x")
    assert FORMAT in str(load_metadata(tmp_path))


def load_metadata(folder: Path) -> dict[str, str]:
    from safetensors import safe_open

    path = save(folder / "m", "made", small_made(), ENCODERS, record={}, licence="x")
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


# The authors' checkpoints


@pytest.mark.slow
@pytest.mark.parametrize("wrap", ["bare", "state_dict", "model", "module."])
def test_import_of_the_authors_checkpoint(tmp_path: Path, wrap: str) -> None:
    golden = Golden("made_full")
    content: object = golden.weights
    if wrap == "module.":
        content = {f"module.{name}": value for name, value in golden.weights.items()}
    elif wrap != "bare":
        content = {"epoch": 3, wrap: golden.weights}
    torch.save(content, tmp_path / "authors.bin")
    changes = ["heads=4", "canvas_seconds=35", "max_frames=9", "max_segments=14"]
    path = import_checkpoint(tmp_path / "authors.bin", tmp_path / "ours", set=changes)
    loaded = load(path)
    assert isinstance(loaded.model, MaDe)
    assert loaded.record == {"imported_from": "authors.bin"}
    assert loaded.encoders == Encoders(Encoder("clip-vit-b32", 512), Encoder("ast-audioset", 768))
    own = loaded.model.state_dict()
    assert torch.equal(own["video.projection.weight"], golden.weights["vit_proj.weight"])
    with pytest.raises(OutputError, match="exists already"):
        import_checkpoint(tmp_path / "authors.bin", tmp_path / "ours", set=changes)


class Code:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_holds_code_is_refused_unrun(tmp_path: Path, legacy: bool) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.bin"
    content = {"vit_proj.weight": torch.zeros(1), "x": Code(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ConfigError, match=r"evil.bin: not a checkpoint of plain tensors"):
        import_checkpoint(path, tmp_path / "ours")
    path.write_bytes(pickle.dumps(content["x"]))
    with pytest.raises(ConfigError, match=r"evil.bin: not a checkpoint of plain tensors"):
        read_weights(path)
    assert not marker.exists() and not (tmp_path / "ours").exists()


def test_what_is_no_checkpoint_of_made_is_named(tmp_path: Path) -> None:
    golden = Golden("made_full")

    def stored(content: object) -> Path:
        torch.save(content, tmp_path / "x.bin")
        return tmp_path / "x.bin"

    with pytest.raises(ConfigError, match=r"x.bin: holds no named weights"):
        read_weights(stored([torch.zeros(1)]))
    with pytest.raises(ConfigError, match=r"x.bin: 'a' is not a tensor"):
        read_weights(stored({"a": 3}))
    with pytest.raises(ConfigError, match="not weights of MaDe"):
        import_checkpoint(stored({"a": torch.zeros(1)}), tmp_path / "y")
    extra = golden.weights | {"surprise": torch.zeros(1)}
    with pytest.raises(ConfigError, match=r"1 weights are unknown \(first: surprise\)"):
        import_checkpoint(stored(extra), tmp_path / "y")
    lacking = {k: v for k, v in golden.weights.items() if k != "class_embed.bias"}
    with pytest.raises(ConfigError, match=r"1 weights are missing.*class_head.bias"):
        import_checkpoint(stored(lacking), tmp_path / "y")
    path = stored(golden.weights)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match="not a checkpoint of plain tensors"):
        read_weights(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_weights(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: is not a regular file"):
        read_weights(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="there is no replay"):
        replay("unheard-of", {}, {}, {})


# The registry


def test_registry() -> None:
    assert "made" in list_models()
    model = build("made", SMALL)
    assert isinstance(model, Matches) and isinstance(model, Detects)
    assert build("made", config_of("made", SMALL)).state_dict().keys() == model.state_dict().keys()
    with pytest.raises(ConfigError, match=r"there is no model 'mad': choose .*made"):
        build("mad")
    with pytest.raises(ConfigError, match=r"model\.depth: no such field"):
        build("made", {"depth": 3})
    with pytest.raises(ConfigError, match=r"dict|Encoders"):
        build("made", Encoders())  # type: ignore[arg-type]


def test_features_of_another_size_are_refused() -> None:
    model, batch = small_made(), small_batch()
    with pytest.raises(ConfigError, match=r"6 places × 10 values .* at most 9 × 12"):
        model.embed_videos(replace(batch, frame_feats=batch.frame_feats[..., :10]))
    longer = small_batch(segments=15, segment_counts=[15] * 6)
    with pytest.raises(ConfigError, match="15 places"):
        model.embed_tracks(longer)


def test_half_precision_takes_half_the_room_and_reads_as_single(tmp_path: Path) -> None:
    made = {"record": {}, "licence": ""}
    whole = save(tmp_path / "whole", "made", small_made(), ENCODERS, **made)
    half = save(tmp_path / "half", "made", small_made(), ENCODERS, **made, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    read = load(half).model.state_dict()
    for name, weight in load(whole).model.state_dict().items():
        assert read[name].dtype == weight.dtype
        # float16 has 11 bits; below 6e-5 fewer, 6e-8 apart.
        assert torch.allclose(read[name], weight, rtol=2**-11, atol=2**-25)

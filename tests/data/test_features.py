"""Published feature folders: what is read is what was written, and bad files are named."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mgsv.data.features import FeatureFolder, check_files
from mgsv.data.folder import STRIDES, DataFolder
from mgsv.errors import ConfigError, DataError

ROOT = Path("features/Kuai_feature")


@pytest.fixture
def folder(tmp_path: Path) -> FeatureFolder:
    """A folder of tracks with one good id, `good+1`."""
    folder = FeatureFolder.segments(tmp_path / ROOT)
    rng = np.random.default_rng(0)
    folder.write("good+1", rng.standard_normal((30, 768), np.float32), np.ones(30, bool))
    return folder


def save(folder: FeatureFolder, name: str, features: object, mask: object) -> None:
    torch.save(features, folder.features / f"{name}.pt")
    torch.save(mask, folder.masks / f"{name}.pt")


@pytest.mark.parametrize(("stride", "slots"), [(2.5, 96), (5.0, 48), (7.5, 32), (10.0, 24)])
def test_every_published_stride(tmp_path: Path, stride: float, slots: int) -> None:
    folder = FeatureFolder.segments(tmp_path, stride)
    names = {2.5: "2p5", 5.0: "5", 7.5: "7p5", 10.0: "10"}
    assert folder.features == tmp_path / f"ast_feature{names[stride]}" / "ast_feature"
    features = np.arange(slots * 768, dtype=np.float32).reshape(slots, 768)
    folder.write("x", features, np.ones(slots, bool))
    np.testing.assert_array_equal(folder.read("x").features, features)
    assert torch.load(folder.masks / "x.pt", weights_only=True).dtype == torch.float32


def test_an_unpublished_stride_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 s is not published: choose one of 2\.5, 5, 7\.5, 10"):
        FeatureFolder.segments(tmp_path, 3.0)


def test_masked_rows_are_zero_even_where_the_file_holds_rubbish(folder: FeatureFolder) -> None:
    features, mask = torch.ones(96, 768), torch.zeros(96)
    mask[[0, 1, 5]] = 1  # a hole at 2 to 4
    features[3] = float("nan")
    save(folder, "x", features, mask)
    slots = folder.read("x")
    assert slots.features.shape == (96, 768)
    assert slots.features.dtype == np.float32
    np.testing.assert_array_equal(slots.features.sum(axis=1)[:7], [768, 768, 0, 0, 0, 768, 0])
    np.testing.assert_array_equal(np.flatnonzero(slots.mask), [0, 1, 5])


def with_nan() -> torch.Tensor:
    features = torch.ones(96, 768)
    features[7, 3] = float("nan")
    return features


BAD: dict[str, tuple[Callable[[], object], Callable[[], object], str, str]] = {
    "nan": (with_nan, lambda: torch.ones(96), "ast_feature", "NaN or infinite value in row 7"),
    "shape": (
        lambda: torch.ones(95, 768),
        lambda: torch.ones(96),
        "ast_feature",
        r"shape \[95, 768\], expected \[96, 768\]",
    ),
    "dtype": (
        lambda: torch.ones(96, 768).half(),
        lambda: torch.ones(96),
        "ast_feature",
        r"dtype torch.float16, expected torch.float32",
    ),
    "list": (lambda: [1.0], lambda: torch.ones(96), "ast_feature", "a list, not a tensor"),
    "mask shape": (
        lambda: torch.ones(96, 768),
        lambda: torch.ones(1, 96),
        "ast_mask",
        r"shape \[1, 96\]",
    ),
    "mask value": (
        lambda: torch.ones(96, 768),
        lambda: torch.full((96,), 0.5),
        "ast_mask",
        "other than 0 and 1",
    ),
    "mask empty": (
        lambda: torch.ones(96, 768),
        lambda: torch.zeros(96),
        "ast_mask",
        "no valid place",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_tensor_is_named(folder: FeatureFolder, case: str) -> None:
    features, mask, where, text = BAD[case]
    save(folder, "x", features(), mask())
    with pytest.raises(DataError, match=f"{where}/x.pt: .*{text}"):
        folder.read("x")


def test_missing_and_truncated_files_are_named(folder: FeatureFolder) -> None:
    with pytest.raises(DataError, match=r"ast_feature/none\.pt: missing"):
        folder.read("none")
    save(folder, "x", torch.ones(96, 768), torch.ones(96))
    whole = (folder.features / "x.pt").read_bytes()
    for length in (0, 10, 1000, len(whole) // 2, len(whole) - 1):
        (folder.features / "x.pt").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"ast_feature/x\.pt: (truncated|not a plain)"):
            folder.read("x")


def test_a_file_never_runs_code(folder: FeatureFolder, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    save(folder, "x", torch.ones(96, 768), torch.ones(96))
    torch.save(Evil(), folder.features / "x.pt")
    with pytest.raises(DataError, match=r"x\.pt: not a plain tensor file"):
        folder.read("x")
    (folder.features / "x.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match=r"x\.pt: "):
        folder.read("x")
    assert not (tmp_path / "ran").exists()


def test_a_file_that_claims_too_much_is_refused_before_reading(folder: FeatureFolder) -> None:
    save(folder, "x", torch.ones(96, 768), torch.ones(96))
    with zipfile.ZipFile(folder.features / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data/0", bytes(40 << 20))  # 40 MB of zeros pack into 40 kB
    with pytest.raises(DataError, match="far larger"):
        folder.read("x")


def test_an_id_cannot_leave_the_folder(folder: FeatureFolder) -> None:
    with pytest.raises(DataError, match="cannot name a feature file"):
        folder.read("../secret")


@pytest.mark.slow
def test_check_names_every_bad_file_and_continues(planted: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(planted, data)
    assert check_files(data) == []
    root = data / ROOT
    videos = FeatureFolder.frames(root).ids()
    tracks = FeatureFolder.segments(root).ids()
    video, track = root / "vit_feature1", root / "ast_feature2p5"
    (video / "vit_feature" / f"{videos[0]}.pt").unlink()
    (video / "vit_mask" / f"{videos[1]}.pt").unlink()
    (video / "vit_feature" / f"{videos[2]}.pt").write_bytes(b"short")
    for kind in ("vit_feature", "vit_mask"):  # gone as a pair: only the annotations know it
        (video / kind / f"{videos[3]}.pt").unlink()
    torch.save(with_nan(), track / "ast_feature" / f"{tracks[0]}.pt")
    torch.save(torch.ones(4), track / "ast_mask" / f"{tracks[1]}.pt")
    seen: list[tuple[int, int]] = []
    problems = check_files(data, progress=lambda step: seen.append((step.done, step.total)))
    assert {
        (p.path.parent.name, p.path.stem, p.text.split(",")[0].split(":")[0]) for p in problems
    } == {
        ("vit_feature", videos[0], "missing"),
        ("vit_mask", videos[1], "missing"),
        ("vit_feature", videos[2], "truncated or damaged"),
        ("vit_feature", videos[3], "missing"),
        ("ast_feature", tracks[0], "NaN or infinite value in row 7"),
        ("ast_mask", tracks[1], "shape [4]"),
    }
    assert seen[-1] == (len(videos) + len(tracks), len(videos) + len(tracks))


def test_check_without_features_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no feature folders in it"):
        check_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        check_files(tmp_path / "none")


def test_feature_folders_are_found_wherever_an_archive_put_them(tmp_path: Path) -> None:
    for number, inside in enumerate((".", "features/Kuai_feature", "a/b/c", "Kuai_feature")):
        root = tmp_path / str(number)
        (root / inside / "vit_feature1").mkdir(parents=True)
        assert DataFolder.open(root).features() == root / inside
    assert set(STRIDES) == {2.5, 5.0, 7.5, 10.0}

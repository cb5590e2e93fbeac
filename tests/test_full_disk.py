"""Every command that writes, on a disk without room: one line, and nothing half-written."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from media_files import Clip, write_video
from mgsv.synthesis.planted import PlantOptions, plant
from model_support import Golden
from planted_small import TINY
from subprocesses import mgsv_here
from tunes import tune, write_tunes

SIZE = 2_000_000
"""Bytes of the disk."""
SET = [word for change in TINY for word in ("--set", change)]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("small") / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("no filesystem can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read: music, a video of a tune, data, a checkpoint, a library of uses."""
    folder = tmp_path_factory.mktemp("here")
    write_tunes(folder / "music", range(2), seconds=10)
    sound = np.interp(np.arange(48_000 * 7) / 48_000, np.arange(8_000 * 7) / 8_000, tune(0, 7))
    shots = Clip(seconds=7, width=320, height=192, cuts=[1.5, 3, 5])
    write_video(folder / "clip.mp4", shots, audio=sound.astype(np.float32))
    plant(folder / "data", PlantOptions(train=40, val=12, test=12, tracks=16), files=True)
    for words in (
        ("library", "add", folder / "music", "--library", folder / "library"),
        ("train", "--data", folder / "data", "--output", folder / "run", *SET),
        (*GROUND.format(here=folder).split(), "--no-render", "--accept"),
    ):
        done = mgsv_here(*words)
        assert done.returncode == 0, done.stderr
    torch.save(Golden("made_full").weights, folder / "authors.bin")
    return folder


@dataclass(frozen=True)
class Case:
    """A command, and the bytes of room that it finds. What lies at and in `kept` may stay."""

    command: str
    room: int = 0
    kept: tuple[str, ...] = ()


GROUND = "ground {here}/clip.mp4 --music {here}/music --library {here}/library --method sync"
TRAIN = f"train --data {{here}}/data --output {{disk}}/run {' '.join(SET)}"
EVALUATE = "evaluate {here}/run/last.safetensors --data {here}/data"
ANNOTATE = "annotate {here}/clip.mp4 --music {here}/music --output {disk}/uses.csv"
LIBRARY = ("library",)
CASES = [
    Case("library add {here}/music --library {disk}/library", kept=LIBRARY),
    Case("library add {here}/music --library {disk}/library", 140_000, LIBRARY),
    Case(f"{GROUND} --output {{disk}}/out.mp4"),
    Case(f"{GROUND} --output {{disk}}/out.mp4", 60_000),
    Case(f"{GROUND} --output {{disk}}/old.mp4 --overwrite", 60_000),
    Case(f"{GROUND} --no-render --timeline {{disk}}/cut.otio"),
    Case("explain " + GROUND.removeprefix("ground ") + " --output {disk}/why.png", 10_000),
    Case(f"{ANNOTATE} --library {{here}}/library"),
    Case(f"{ANNOTATE} --library {{disk}}/library", kept=LIBRARY),
    Case("library uses export {disk}/uses.csv --library {here}/library"),
    Case("library learn {here}/uses.csv --rejects {disk}/no.csv --library {here}/library"),
    Case("data pack {here}/data --output {disk}/packed", kept=("packed",)),
    Case("data pack {here}/data --output {disk}/packed", 300_000, ("packed",)),
    Case("data plant {disk}/planted --train 40 --val 9 --test 9 --tracks 16", 300_000),
    Case("data stats {here}/data --plots {disk}/plots", 30_000, ("plots",)),
    Case(f"{EVALUATE} --report {{disk}}/report", 0, ("report",)),
    Case(f"{EVALUATE} --report {{disk}}/report", 8_000, ("report",)),
    Case(
        f"{EVALUATE} --uses {{here}}/data/dataset/MGSV-EC/train_data.csv --fusion {{disk}}/f.json"
    ),
    Case("import {here}/authors.bin {disk}/ours.safetensors --set heads=4 --set canvas_seconds=35"),
    Case(TRAIN, 0, ("run",)),
    *(Case(TRAIN, room, ("run",)) for room in (8_000, 60_000, 150_000, 300_000)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.command.split(' {')[0]} {case.room}"
)
def test_a_full_disk_is_one_line_and_leaves_nothing(case: Case, here: Path, disk: Path) -> None:
    for thread in threading.enumerate():  # of the case before, which need not wait for its own
        if thread.name.startswith("work-"):
            thread.join(10)
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (disk / "old.mp4").write_bytes(b"an earlier result")
    fill(disk, case.room)
    before = contents(disk)
    words = case.command.format(here=here, disk=disk).split()
    (here / "uses.csv").write_bytes((here / "data/dataset/MGSV-EC/val_data.csv").read_bytes())
    done = mgsv_here(*words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert lines and lines[-1].startswith("mgsv: ") and str(disk) in lines[-1], done.stderr
    assert "unexpected" not in lines[-1] and "Traceback" not in done.stderr
    assert "room" in lines[-1] or "free" in lines[-1], lines[-1]
    after = contents(disk)
    assert {name: after[name] for name in before} == before
    new = {name for name in after if name not in before}
    assert not [name for name in new if not name.startswith(case.kept or "\0")], new
    assert not [name for name in new if ".part" in name]


def fill(disk: Path, room: int) -> None:
    """Leave `room` bytes on the disk."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            file.truncate(max(file.tell() - room, 0))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in folder.rglob("*")
    }

"""What `kills.py` kills: commands, the folders they start in, and what can be seen in those.

Nothing of the package judges here what the package wrote: SQLite, safetensors, hashes and ffprobe
do.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from mgsv.media.pictures import write_film
from mgsv.media.render import render
from mgsv.moment import Moment
from mgsv.synthesis.planted import PlantOptions, plant

TRACKS, TRACK_SECONDS, CLIP_SECONDS = 6, 16, 6
TRAINING = ("--preset", "tiny", "--set", "train.epochs=3", "--set", "train.save_seconds=0")
TRAINING += ("--set", "train.val_rows=0", "--set", "train.accelerator=cpu")


class Run(Protocol):
    """Runs a command of `mgsv` in a folder, to its end or until a look at the folder says so."""

    def __call__(
        self, place: Path, words: Sequence[str], until: Callable[[Path], bool] | None = None
    ) -> None: ...


@dataclass
class Seen:
    """What lies in a folder under its final name."""

    whole: dict[str, Any] = field(default_factory=dict)
    """What is whole: what it is → its content, or a hash of it."""
    broken: list[str] = field(default_factory=list)
    """What is not."""
    progress: float = 0.0
    """How far a training has come that can be gone on with."""


@dataclass(frozen=True)
class Job:
    """A command, and what it works on."""

    name: str
    words: tuple[str, ...]
    """Arguments of `mgsv`."""
    starts: tuple[Path, ...]
    """Folders it may start in; the end is the same from each."""
    see: Callable[[Path], Seen]
    reported: Callable[[str], set[str]] = lambda _: set()
    """Keys of `Seen.whole` that the command reported as done."""
    passing: str = ""
    """Glob of files that may differ between the ends of runs: logs named by time."""


JOBS = ("library add", "ground --accept", "render", "annotate", "data pack", "train")


def make_jobs(folder: Path, run: Run, chosen: Sequence[str] = JOBS) -> Iterator[Job]:
    """The `chosen` jobs, with what they work on made in `folder`."""
    music, clip, video, data = make_material(folder)
    library = ("--library", "library")
    first = str(music / "0.wav")

    def started(name: str, words: Sequence[str], copy: Path | None = None) -> Path:
        place = folder / "starts" / name
        if copy is None:
            place.mkdir(parents=True)
        else:
            shutil.copytree(copy, place)
        if words:
            run(place, words)
        return place

    empty = started("empty", ())
    add = ("library", "add", str(music), *library, "--progress", "machine")
    if "library add" in chosen:
        two = started("two", ("library", "add", first, str(music / "1.wav"), *library))
        yield Job("library add", add, (empty, two), see_library, _added)
    if {"ground --accept", "render"} & {*chosen}:
        full = started("full", add)
    if "ground --accept" in chosen:
        best = (*library, "--music", str(music), "--method", "sync", "--no-render", "--accept")
        accepted = started("accepted", ("ground", str(video), *best), copy=full)
        yield Job("ground --accept", ("ground", str(clip), *best), (accepted,), see_library)
    if "render" in chosen:
        made = ("ground", str(clip), *library, "--method", "sync", "--overwrite")
        made += ("--output", "out.mp4", "--timeline", "cut.otio", "--music")
        earlier = started("earlier", (*made, str(music / "1.wav")), copy=full)
        yield Job("render", (*made, first), (full, earlier), see_results, _rendered)
    if "annotate" in chosen:
        uses = ("annotate", str(video), *library, "--overwrite", "--output", "uses.csv", "--music")
        other = started("other", (*uses, first))
        yield Job("annotate", (*uses, str(music)), (empty, other), see_annotated)
    if "data pack" in chosen:
        pack = ("data", "pack", str(data), "--output", "packed")
        packed = started("packed", pack)
        shutil.rmtree(packed / "packed" / "segments-2p5")
        yield Job("data pack", pack, (empty, packed), see_packed)
    if "train" in chosen:
        train = ("train", "--data", str(data), "--output", "run", "--resume", *TRAINING)
        begun = started("begun", ())
        run(begun, train, lambda place: see_training(place).progress >= 4)
        yield Job("train", train, (empty, begun), see_training, passing="run/tensorboard/*")


def make_material(folder: Path) -> tuple[Path, Path, Path, Path]:
    """(music, a silent clip, a video that uses a track, a data folder), in a process of its own."""
    music, clip, video = folder / "music", folder / "clip.mp4", folder / "video.mp4"
    data = folder / "data"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            music.mkdir()
            for number in range(TRACKS):
                write_tune(music / f"{number}.wav", number)
            shades = np.random.default_rng(1).integers(0, 256, (CLIP_SECONDS, 3), np.uint8)
            pictures = (
                np.full((96, 128, 3), shades[number // 25]) + np.uint8(number % 25)
                for number in range(25 * CLIP_SECONDS)
            )
            write_film(clip, pictures, 25, crf=23)
            render(clip, music / "0.wav", Moment(4, 4 + CLIP_SECONDS), video)
            plant(data, PlantOptions(train=40, val=12, test=12, tracks=16), files=True)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the material cannot be made")
    return music, clip, video, data


def write_tune(path: Path, seed: int, rate: int = 16_000) -> None:
    """Plucked notes at random times and pitches."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate) / rate
    samples = rng.normal(0, 0.002, (TRACK_SECONDS + 1) * rate)
    for onset in rng.uniform(0, TRACK_SECONDS, 5 * TRACK_SECONDS):
        pitch = 110 * 2 ** (rng.integers(48) / 12)
        note = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3, 4))
        samples[(at := round(onset * rate)) : at + rate] += 0.08 * note * np.exp(-6 * time)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples[: TRACK_SECONDS * rate].clip(-1, 1) * 32767).astype("<i2"))


def see_library(place: Path) -> Seen:
    """The catalogue's rows, and the feature files by their check sums."""
    seen, folder = Seen(), place / "library"
    if not (folder / "catalogue.sqlite").exists():
        return seen
    with tempfile.TemporaryDirectory() as passing:  # opening a database repairs its log
        copy = shutil.copytree(folder, Path(passing) / "library")
        with closing(sqlite3.connect(copy / "catalogue.sqlite")) as db:
            (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                seen.broken.append(f"catalogue: {verdict}")
            rows = db.execute("SELECT * FROM track JOIN feature ON feature.track = track.id")
            for id, *values, name, tags, digest, mean in rows:
                file = folder / "features" / name
                data = file.read_bytes() if file.exists() else b""
                if hashlib.blake2b(data, digest_size=16).hexdigest() != digest:
                    seen.broken.append(f"features of {id}")
                seen.whole[f"track {id}"] = (*values, tags, mean)
            for path, *values in db.execute("SELECT * FROM place"):
                seen.whole[f"place {os.fsdecode(path)}"] = values
                if f"track {values[2]}" not in seen.whole:
                    seen.broken.append(f"place {os.fsdecode(path)}")
            for _, *values in db.execute("SELECT * FROM use"):
                seen.whole[f"use of {values[4]}"] = values
    _see_tensors(folder.glob("features/*/*.safetensors"), Seen(), seen.broken)
    return seen


def see_annotated(place: Path) -> Seen:
    """The annotations and the fingerprints."""
    seen = Seen()
    _see_tensors(place.glob("library/prints-1/*/*.safetensors"), seen, seen.broken)
    if (path := place / "uses.csv").exists():
        rows = list(csv.reader(path.read_text().splitlines(keepends=True)))
        if len({len(row) for row in rows}) != 1 or not path.read_bytes().endswith(b"\n"):
            seen.broken.append("uses.csv")
        seen.whole["uses.csv"] = _hash(path)
    return seen


def see_results(place: Path) -> Seen:
    """The video as ffprobe reads it, where there is one, and the timeline."""
    seen = Seen()
    if (path := place / "out.mp4").exists():
        seen.whole["out.mp4"] = _hash(path)
        if shutil.which("ffprobe"):
            command = ["ffprobe", "-v", "error", "-count_packets", "-show_entries"]
            command += ["stream=nb_read_packets", "-of", "csv=p=0", str(path)]
            found = subprocess.run(command, capture_output=True, text=True)
            if found.returncode or found.stderr or str(25 * CLIP_SECONDS) not in found.stdout:
                seen.broken.append(f"out.mp4: {found.stderr.strip() or found.stdout.split()}")
    if (path := place / "cut.otio").exists():
        seen.whole["cut.otio"] = _hash(path)
        try:
            json.loads(path.read_text())
        except ValueError:
            seen.broken.append("cut.otio")
    return seen


def see_packed(place: Path) -> Seen:
    """The stores, their files compared with the check sums in their index."""
    seen = Seen()
    for store in place.glob("packed/[!.]*"):
        try:
            sums: Mapping[str, str] = json.loads((store / "index.json").read_text())["sha256"]
            whole = sums == {name: _hash(store / name) for name in sums}
        except (OSError, ValueError, KeyError):
            whole = False
        if not whole:
            seen.broken.append(f"store {store.name}")
        for path in store.iterdir():
            seen.whole[f"{store.name}/{path.name}"] = _hash(path)
    return seen


def see_training(place: Path) -> Seen:
    """The state of the run, its checkpoints, log and settings."""
    seen, run = Seen(), place / "run"
    tensors = Seen()
    _see_tensors(run.glob("*.safetensors"), tensors, seen.broken)
    seen.whole = {name: value for name, value in tensors.whole.items() if name != "state"}
    if (path := run / "state.safetensors").exists() and "state" in tensors.whole:
        with safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["mgsv.training_state"])["progress"]
        seen.progress = state["step"]
        seen.whole["state"] = {name: value for name, value in state.items() if name != "seconds"}
    if (path := run / "config.json").exists():
        try:
            seen.whole["config"] = json.loads(path.read_text())
        except ValueError:
            seen.broken.append("config.json")
    if (path := run / "log.csv").exists():
        lines = path.read_text().splitlines(keepends=True)
        if any(not line.endswith("\n") for line in lines):
            seen.broken.append("log.csv")
        seen.whole["log"] = lines
    return seen


def _see_tensors(paths: Iterator[Path], seen: Seen, broken: list[str]) -> None:
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as file:
                # Not the file's bytes: safetensors writes the metadata in any order.
                content = hashlib.sha256(json.dumps(file.metadata(), sort_keys=True).encode())
                for name in sorted(file.keys()):
                    content.update(name.encode() + file.get_tensor(name).tobytes())
            seen.whole[path.stem] = content.hexdigest()
        except (OSError, SafetensorError) as error:
            broken.append(f"{path.name}: {error}")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _added(text: str) -> set[str]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {f"place {line['path']}" for line in lines if line.get("path") and not line["note"]}


def _rendered(text: str) -> set[str]:
    return {"out.mp4"} if "video: out.mp4" in text else set()

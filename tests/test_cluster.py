"""The executor of a Ray cluster: outcomes, lost workers and machines, cancelling, bad clusters."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from job_functions import (
    OtherElsewhere,
    lag,
    leave,
    raise_unpicklable,
    reciprocal,
    refuse,
    touch_slowly,
    wait_for,
    without_a_decoder,
)
from library_support import start, write_tone, write_tones
from measured_small import random_made
from media_files import Clip, write_video
from mgsv import cluster
from mgsv.annotate import annotate
from mgsv.cluster import Ray, open_executor
from mgsv.errors import ClusterError, ConfigError, EncoderMismatch
from mgsv.extract import extract
from mgsv.jobs import Outcome, in_order
from mgsv.library import Library
from old_catalogues import downgrade
from paper_weights import save_small_models
from ray_cluster import NodesOfOneCore, busy_workers, kill, nodes_of_one_core
from subprocesses import mgsv_here, mgsv_process

pytest.importorskip("ray", reason="ray is not installed: pip install 'mgsv[cluster]'")
pytestmark = pytest.mark.slow

ADD = """
import sys
from mgsv.cluster import Ray
from mgsv.errors import MgsvError
from mgsv.library import Library

def tell(step): print(step.done, flush=True)

try:
    with Ray(sys.argv[3]) as ray:
        with Library.open(folder=sys.argv[2], encoder="tiny", executor=ray) as library:
            print("added", library.add(sys.argv[1], progress=tell).added, flush=True)
except MgsvError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[NodesOfOneCore]:
    with nodes_of_one_core(2) as opened:
        yield opened


@pytest.fixture(scope="module")
def executor(nodes: NodesOfOneCore) -> Iterator[Ray]:
    with Ray(nodes.address) as opened:
        yield opened


def test_each_item_is_done_once(executor: Ray) -> None:
    for count in (0, 1, 20):
        outcomes = sorted(executor.map(str, range(count)), key=lambda outcome: outcome.index)
        assert outcomes == [Outcome(k, k, str(k)) for k in range(count)]
    assert [outcome.result() for outcome in in_order(executor.map(lag, range(6)))] == [*range(6)]


def test_an_error_is_the_outcome_of_its_item_alone(executor: Ray) -> None:
    outcomes = {outcome.item: outcome for outcome in executor.map(reciprocal, [4, 0, 2])}
    assert (outcomes[4].result(), outcomes[2].result()) == (0.25, 0.5)
    assert isinstance(outcomes[0].error, ZeroDivisionError)
    (outcome,) = executor.map(raise_unpicklable, [3])
    assert isinstance(outcome.error, RuntimeError) and "3 and 3" in str(outcome.error)


def test_what_is_no_error_of_the_item_ends_the_map(executor: Ray) -> None:
    with pytest.raises(SystemExit, match="no Exception"):
        list(executor.map(leave, [1, 2]))


def test_few_items_are_in_the_hands_of_workers(executor: Ray, tmp_path: Path) -> None:
    taken: list[int] = []

    class Counted(list[int]):
        def __iter__(self) -> Iterator[int]:
            for item in range(50):
                taken.append(item)
                yield item

    outcomes = executor.map(reciprocal, Counted(range(50)))
    next(outcomes)
    assert len(taken) <= 2 * 2
    outcomes.close()


def test_closing_leaves_nothing_running(executor: Ray, tmp_path: Path) -> None:
    outcomes = executor.map(touch_slowly, [tmp_path / str(number) for number in range(50)])
    next(outcomes)
    outcomes.close()
    written = len(list(tmp_path.iterdir()))
    time.sleep(1.5)
    assert len(list(tmp_path.iterdir())) == written < 50
    assert [outcome.result() for outcome in executor.map(reciprocal, [2])] == [0.5]


@pytest.mark.thorough
def test_killed_workers_lose_nothing(executor: Ray) -> None:
    chance, seen = random.Random(3), []
    with contextlib.closing(executor.map(wait_for, range(40))) as outcomes:
        for outcome in outcomes:
            seen.append(outcome.result())
            if len(seen) in (5, 15, 25) and (workers := busy_workers()):
                kill(chance.choice(workers))
    assert sorted(seen) == [*range(40)]


def test_tracks_of_an_earlier_version_are_brought_up_to_date(executor: Ray, tmp_path: Path) -> None:
    songs = write_tones(tmp_path / "music", 3)
    folder = tmp_path / "library"
    with Library.open(folder=folder, encoder="tiny", executor=executor) as library:
        assert library.add(tmp_path / "music").added == len(songs)
    downgrade(folder, 3)
    damaged, *_ = sorted(folder.glob("features/*/*"))
    damaged.write_bytes(b"no features")
    with Library.open(folder=folder, encoder="tiny", executor=executor) as library:
        report = library.add(tmp_path / "music")
        assert (report.added, report.updated, report.failed) == (0, len(songs), ())
        assert library.check().problems == () and library.check().outdated == 0


def test_another_version_is_refused(executor: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "__version__", "9.9")
    with pytest.raises(ClusterError, match=r"has mgsv 0\.1\.0, and the work comes from 9\.9"):
        list(executor.map(reciprocal, [1]))


def test_a_worker_that_cannot_start_is_named(
    executor: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_start", refuse)
    with pytest.raises(ClusterError, match="cannot do this: ValueError: no codecs here"):
        list(executor.map(reciprocal, [1]))


def test_a_worker_without_a_decoder(nodes: NodesOfOneCore, executor: Ray, monkeypatch) -> None:
    monkeypatch.setattr(executor, "_start", without_a_decoder)
    with pytest.raises(ClusterError, match=r"cannot do this: its FFmpeg lacks: decode nonesuch"):
        list(executor.map(reciprocal, [1]))


def test_a_worker_with_other_weights_ends_the_run(executor: Ray, tmp_path: Path) -> None:
    write_tones(tmp_path / "music", 4)
    folder = tmp_path / "library"
    with Library.open(folder=folder, encoder=OtherElsewhere(), executor=executor) as library:
        with pytest.raises(EncoderMismatch, match=r"made by tiny-here, and on .*: give every"):
            library.add(tmp_path / "music")
        assert library.tracks() == []
    with Library.open(folder=folder, encoder="tiny", executor=executor) as library:
        report = library.add(tmp_path / "music")
        assert (report.added, report.failed) == (4, ()), "no file is to blame"


@pytest.mark.thorough
def test_workers_that_do_not_see_the_files(
    executor: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below /proc/self/cwd each process sees the files of its own working folder."""
    pytest.importorskip("transformers")
    write_tones(tmp_path / "music", 4)
    video = write_video(tmp_path / "clip.mp4", Clip(seconds=1.0))
    weights = save_small_models(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    here = Path("/proc/self/cwd")
    refused = r"/proc/self/cwd/{}: the worker on .* does not see it: have every machine see"
    options = {"encoders_dir": weights, "executor": executor}
    with Library.open(folder=tmp_path / "library", encoder="tiny", executor=executor) as library:
        with pytest.raises(ClusterError, match=refused.format(r"music/00\d.wav")):
            library.add(here / "music")
        assert library.add(tmp_path / "music").added == 4
    with pytest.raises(ClusterError, match=refused.format("clip.mp4")):
        extract([here / "clip.mp4"], tmp_path / "out", **options)
    with pytest.raises(ClusterError, match=refused.format("out/.*")):
        extract([video], here / "out", **options)
    assert extract([video], tmp_path / "out", **options).written == 1
    with pytest.raises(ClusterError, match=refused.format("prints")):
        annotate([video], [tmp_path / "music"], "a.csv", folder=here / "prints", executor=executor)
    with pytest.raises(ClusterError, match=refused.format(r"music/00\d.wav")):
        annotate([video], [here / "music"], "a.csv", folder="prints", executor=executor)
    assert not [*tmp_path.glob("*/**/.mgsv-*"), *tmp_path.glob("*.csv")]


@pytest.mark.thorough
def test_a_lost_machine_loses_no_track(nodes: NodesOfOneCore, tmp_path: Path) -> None:
    songs = write_tones(tmp_path / "music", 40)
    process = start(ADD, tmp_path / "music", tmp_path / "library", nodes.address)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "5":
            nodes.do("lose a node")
        last = line
    assert process.wait() == 0, process.stderr.read() if process.stderr else ""
    nodes.do("add a node")
    assert last.split() == ["added", str(len(songs))]
    with Library.open(folder=tmp_path / "library", encoder="tiny") as library:
        assert len(library.tracks()) == len(songs) and library.check().problems == ()


@pytest.mark.thorough
def test_ctrl_c_keeps_what_is_done_and_a_second_run_goes_on(
    nodes: NodesOfOneCore, tmp_path: Path
) -> None:
    songs = write_tones(tmp_path / "music", 40)
    process = start(ADD, tmp_path / "music", tmp_path / "library", nodes.address)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "3":
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    time.sleep(1)
    assert busy_workers() == []
    with Library.open(folder=tmp_path / "library", encoder="tiny") as library:
        kept = len(library.tracks())
    assert 3 <= kept < len(songs)
    again = start(ADD, tmp_path / "music", tmp_path / "library", nodes.address)
    output, errors = again.communicate(timeout=120)
    assert output.split()[-2:] == ["added", str(len(songs) - kept)], errors


@pytest.mark.thorough
def test_a_cluster_that_goes_away_is_one_line_and_what_is_done_stays(tmp_path: Path) -> None:
    songs = write_tones(tmp_path / "music", 200)
    with nodes_of_one_core(1) as nodes:
        process = start(ADD, tmp_path / "music", tmp_path / "library", nodes.address)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "3":
                nodes.do("lose the head")
                break
        threading.Timer(90, process.kill).start()
        _, errors = process.communicate()
    (line,) = [line for line in errors.splitlines() if line.startswith("refused:")]
    assert f"the cluster at {nodes.address} went away: run the command again" in line
    assert process.returncode == 1
    with Library.open(tmp_path / "music", folder=tmp_path / "library", encoder="tiny") as library:
        assert 3 <= library.report.unchanged < len(songs)
        assert library.report.added + library.report.unchanged == len(songs)


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(
        ClusterError, match=r"no cluster answers at 127\.0\.0\.1:9: check the address"
    ):
        Ray("127.0.0.1:9")


@pytest.mark.parametrize("name", ["", "ray:", "dask", "rays"])
def test_an_unknown_place(name: str) -> None:
    with pytest.raises(ConfigError, match=r"`on` .*unknown"):
        open_executor(name)


@pytest.mark.thorough
def test_extract_and_annotate_give_the_same_on_a_cluster(
    executor: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    songs = [write_tone(tmp_path / f"music/{k}.wav", 300.0 + 50 * k, 30.0) for k in range(3)]
    (tmp_path / "music/bad.wav").write_text("text")
    video = write_video(tmp_path / "clip.mp4", Clip(seconds=3.0))
    weights = save_small_models(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    here = extract(["music", "clip.mp4"], "here", encoders_dir=weights)
    there = extract(["music", "clip.mp4"], "there", encoders_dir=weights, executor=executor)
    assert there == here and there.written == len(songs) + 1
    assert [path for path, _ in there.failed] == [tmp_path / "music/bad.wav"]
    made = sorted(path.relative_to("here") for path in Path("here").rglob("*.pt"))
    assert made == sorted(path.relative_to("there") for path in Path("there").rglob("*.pt"))
    for path in made:
        ours = torch.load("here" / path, weights_only=True)
        torch.testing.assert_close(torch.load("there" / path, weights_only=True), ours)
    reports = [
        annotate([video.name], ["music"], f"{k}.csv", folder="prints", executor=one)
        for k, one in enumerate((None, executor))
    ]
    assert (reports[0].tracks, reports[0].videos) == (3, 1)
    assert reports[0].counts() == {"no sound": 1}
    assert reports[0].counts() == reports[1].counts() and reports[1].failed == reports[0].failed


@pytest.mark.thorough
def test_every_command_that_takes_a_cluster(
    nodes: NodesOfOneCore, planted: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    music, on = tmp_path / "music", ("--on", f"ray:{nodes.address}", "--json")
    write_tones(music, 3)
    video = write_video(tmp_path / "clip.mp4", Clip(seconds=1.0))
    weights = ("--encoders-dir", save_small_models(tmp_path / "weights"))
    library = ("--library", tmp_path / "library")
    made = random_made(tmp_path / "made.safetensors", planted)

    def document(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
        done = mgsv_process(*arguments)
        assert done.returncode == status, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert document("library", "add", music, *library, *on)["added"] == 3
    assert document("extract", music, video, "-o", tmp_path / "out", *weights, *on)["written"] == 4
    heard = ("annotate", video, "--music", music, "-o", tmp_path / "a.csv", *library, *on)
    assert document(*heard, status=1)["left_out"]["no sound"]["count"] == 1
    measured = document("evaluate", made, "--data", planted, *on)
    torch.set_num_threads(1)  # as in the workers
    here = mgsv_here("evaluate", made, "--data", planted, "--json")
    assert measured == json.loads(here.stdout)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("ray:127.0.0.1:9", "no cluster answers at 127.0.0.1:9"),
        ("dask", "--on dask: unknown: use ray"),
    ],
)
def test_a_cluster_that_is_none_is_one_line(tmp_path: Path, place: str, problem: str) -> None:
    write_tones(tmp_path / "music", 1)
    library = ("--library", tmp_path / "library")
    done = mgsv_process("library", "add", tmp_path / "music", *library, "--on", place)
    assert done.returncode == 1 and problem in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""

"""Make the model that comes with mgsv, and measure it beside everything simpler.

    python recipes/corpus.py CORPUS
    python recipes/default_model.py CORPUS WORK                    # compose, train, fit, measure
    python recipes/default_model.py CORPUS WORK --seeds 42 43 44   # three runs on the same data
    python recipes/default_model.py CORPUS WORK --ship made.safetensors  # ... of the first seed

    python recipes/default_model.py CORPUS WORK --network FILE     # ... fit beside this network

WORK holds the composed data (`composed`, of the first editor, split by track and picture; `mixed`,
val rows of which half are edited loosely; `others`, val rows of the `second` editor, for the
calibration of what is said; `pairs`, which `recipes/taste.py` is about; test rows of the first
editor, of the `loose` and of the `second` one, and `offset`, cut off the beat by a constant), the
analyses they need (`cache`), a folder `run-SEED` for each training, `made-SEED.safetensors`, and
the figures of all seeds, `figures-first.json` and so on. A second run goes on where a first one
stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from composed_cases import Case, Corpus, cases
from looks import folded, looks_of, read_off
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.evaluation import protocol
from mgsv.evaluation.measures import all_measures, moment_iou, ranks
from mgsv.evaluation.memory import starts_of as model_starts
from mgsv.evaluation.results import Results
from mgsv.memory.density import NEAR
from mgsv.methods.base import Detection, Placement
from mgsv.methods.blind import blind_answers
from mgsv.methods.learned import learned
from mgsv.methods.placement import REACH, cuts_on_beat
from mgsv.methods.registry import open_method
from mgsv.methods.survey import Survey, SurveyWeights, survey_track
from mgsv.methods.sync import Sync
from mgsv.models import checkpoint
from mgsv.models.adapter import grounding_model
from mgsv.models.export import export
from mgsv.models.system import System
from mgsv.synthesis.composed import ComposeInputs, ComposeOptions, compose, worker_processes
from mgsv.training.fit import train
from survey_fit import evidence_of, fit, scores_of

Floats = npt.NDArray[np.float64]

ROWS = 12_000
LICENCE = "features of freely licensed works; the corpus manifest names each one's package, licence"
DATA = {
    "composed": ComposeOptions(train=ROWS, val=400, test=0, noise=1.0, half=True),
    "mixed": ComposeOptions(train=0, val=800, test=0, loose=0.5, half=True),
    "others": ComposeOptions(train=0, val=400, test=0, composer="second", half=True),
    "pairs": ComposeOptions(train=5_000, val=0, test=0, loose=0.5, noise=1.0, half=True),
    "first": ComposeOptions(train=0, val=0, test=400, half=True),
    "loose": ComposeOptions(train=0, val=0, test=400, loose=1.0, half=True),
    "second": ComposeOptions(train=0, val=0, test=400, composer="second", half=True),
    "offset": ComposeOptions(train=0, val=0, test=200, seed=5, offset_max=0.25, half=True),
}
TESTS = ["first", "loose", "second", "offset"]
PRESET = "cpu-small"
SETTINGS: tuple[str, ...] = ("train.epochs=12", "train.val_rows=0")
LOOKS_RATE = "train.embedding_rate=0.3"
"""With few inputs, each weight of the first layer has further to go."""
RANDOM_STARTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--jobs", type=int, default=2, help="processes that compose")
    parser.add_argument("--set", nargs="*", default=[], help="changes to the settings")
    parser.add_argument(
        "--looks", action="store_true", help="train on looks (`looks.py`), not on encoder values"
    )
    parser.add_argument("--network", type=Path, help="a checkpoint; nothing is trained")
    parser.add_argument("--measure", nargs="*", choices=TESTS, default=TESTS, metavar="NAME")
    parser.add_argument(
        "--ship", type=Path, help="write the model of the first seed there, and exported beside it"
    )
    options = parser.parse_args()
    work: Path = options.work
    corpus = Corpus(options.corpus, work / "cache")
    trains = [] if options.network else ["composed"]
    made_of(corpus, work, options.jobs, [*trains, "mixed", "others", *options.measure])
    models = {seed: work / f"made-{seed}.safetensors" for seed in options.seeds}
    missing = {seed: model for seed, model in models.items() if not model.exists()}
    run = looks_trained if options.looks else trained
    runs = {seed: options.network or run(corpus, work, seed, options.set) for seed in missing}
    if missing:
        fit([*runs.values()], work / "mixed", work / "others", corpus, [*missing.values()])
    if options.ship:
        shutil.copyfile(next(iter(models.values())), options.ship)
        export(System(checkpoint=options.ship), options.ship.with_suffix(".onnx"), overwrite=True)
    for name in options.measure:
        split = Measured.of(work / name, corpus, work / "mixed")
        figures = {seed: split.figures(model) for seed, model in models.items()}
        show(name, figures)
        text = json.dumps(figures, indent=1) + "\n"
        (work / f"figures-{name}.json").write_text(text, encoding="utf-8")


def made_of(corpus: Corpus, work: Path, jobs: int, wanted: Collection[str]) -> None:
    """Compose what is not there yet."""
    for name, options in DATA.items():
        if name in wanted and not (work / name).exists():
            files = ComposeInputs(
                music=corpus.folder / "music",
                pictures=corpus.folder / "pictures",
                clips=corpus.folder / "clips",
                manifest=corpus.manifest,
            )
            with worker_processes(jobs) as workers:
                compose(
                    work / name,
                    files,
                    options=options,
                    cache=corpus.cache,
                    executor=workers,
                    licence=LICENCE,
                )


def trained(_corpus: Corpus, work: Path, seed: int, changes: Sequence[str]) -> Path:
    """The checkpoint of the run with this seed."""
    return run_of(work / "composed", work / f"run-{seed}", seed, changes)


def looks_trained(corpus: Corpus, work: Path, seed: int, changes: Sequence[str]) -> Path:
    """The same of one that is trained on looks and reads what any other does."""
    output, seen, reading = work / f"looks-{seed}", work / "looks", looks_of(corpus)
    if not seen.exists():
        read_off(work / "composed", reading, seen)
    best = run_of(seen, output, seed, [LOOKS_RATE, *changes])
    folded(best, reading, output / "network.safetensors")
    return output / "network.safetensors"


def run_of(data: Path, output: Path, seed: int, changes: Sequence[str]) -> Path:
    result = train(
        "made",
        data=data,
        output=output,
        preset=PRESET,
        set=(*SETTINGS, f"train.seed={seed}", *changes),
        resume=(output / "config.json").exists(),
    )
    print(f"trained in {result.seconds:.0f} s: {dict(result.best)}", flush=True)
    return result.checkpoints["mIoU"]


# --- figures --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The test rows of a data folder, and what is the same there whatever was trained."""

    rows: Sequence[Case]
    split: SplitData
    columns: Sequence[str]
    """The M distinct tracks."""
    answers: Mapping[str, Floats]
    """[V, 2] moments of each method that needs no training."""
    sync: Floats
    """[V, M] scores."""
    fits: dict[SurveyWeights, Floats]
    """[V, M] by the survey."""

    @classmethod
    def of(cls, data: Path, corpus: Corpus, fitted_on: Path) -> Measured:
        rows, split = list(cases(data, "test", corpus)), SplitData.open(data, "test")
        tracks = {case.row.music_id: case.features for case in rows}
        columns = sorted(tracks)
        every = [tracks[name] for name in columns]
        scores = np.stack([Sync().score_tracks(case.query, every) for case in rows])
        scores = scores.astype(np.float64)
        found = [
            open_method("sync").detect(case.query, [case.features], Placement())[0] for case in rows
        ]
        known = DataFolder.open(fitted_on).annotations("val")
        answers = blind_answers(split.rows, split.segments, known)
        answers["sync"] = moments_at(rows, starts_of(found))
        return cls(rows, split, columns, answers, scores, {})

    def figures(self, model: Path) -> dict[str, Any]:
        """Every measure of every method, with the network and the survey in the file `model`."""
        rows, columns = self.rows, self.columns
        loaded = checkpoint.load(model)
        own = Survey.of(loaded.record)
        assert own is not None
        if own.weights not in self.fits:
            self.fits[own.weights] = evidence_of(rows, own.weights, columns)
        fits = self.fits[own.weights]
        scores, names = scores_of(loaded, self.split)
        assert names == columns
        true = np.array([columns.index(case.row.music_id) for case in rows])
        by_score = {
            "sync": self.sync,
            "network alone": scores,
            "survey alone": fits,
            "made": scores + own.ranking * fits,
        }
        network = protocol.run_model(loaded.model, self.split, music_set=False)
        centred = np.clip(model_starts(network), 0, [case.latest for case in rows])
        surveyed = [
            survey_track(c.query, c.features, own.weights).density.candidates(1) for c in rows
        ]
        method = learned(grounding_model(loaded))
        detected = [method.detect(c.query, [c.features], Placement())[0] for c in rows]
        placed = starts_of(detected)
        moments = {
            **self.answers,
            "network alone": moments_at(rows, centred),
            "survey alone": moments_at(rows, np.array([s[0].moment.start for s in surveyed])),
            "made": moments_at(rows, placed),
        }
        rng = np.random.default_rng(0)
        table = {"random start": all_measures(random_iou(rows, network, rng))}
        for name, found in moments.items():
            rank = ranks(by_score[name], true) if name in by_score else None
            table[name] = all_measures(replace(network, predicted=found).iou, rank)
        return {
            "rows": len(rows),
            "tracks": len(columns),
            "methods": table,
            "placement": placement_figures(rows, centred, placed, rng),
            "probability": probability_figures(rows, detected),
        }


def moments_at(rows: Sequence[Case], starts: Floats) -> Floats:
    """[V, 2] as long as the clips."""
    return np.stack([starts, starts + [case.query.seconds for case in rows]], axis=1)


def starts_of(found: Iterable[Detection]) -> Floats:
    return np.array([detection.moment.start for detection in found])


def random_iou(rows: Sequence[Case], answers: Results, rng: np.random.Generator) -> Floats:
    """[V x RANDOM_STARTS] of starts anywhere."""
    found = []
    for _ in range(RANDOM_STARTS):
        starts = np.array([rng.uniform(0, case.latest) for case in rows])
        found.append(moment_iou(moments_at(rows, starts), answers.true, answers.track_seconds))
    return np.concatenate(found)


def placement_figures(
    rows: Sequence[Case], network: Floats, placed: Floats, rng: np.random.Generator
) -> dict[str, float]:
    """Cuts on beats at the placed and at random starts, and errors where the network is near."""
    on_beat, by_chance = [], []
    for case, start in zip(rows, placed, strict=True):
        cuts, beats = case.query.curves.cuts, case.features.beats
        if not len(cuts) or not len(beats):
            continue
        on_beat.append(cuts_on_beat(cuts + start, beats) / len(cuts))
        somewhere = rng.uniform(0, case.latest, RANDOM_STARTS)
        by_chance.append(np.mean([cuts_on_beat(cuts + at, beats) for at in somewhere]) / len(cuts))
    right = np.array([case.right for case in rows])
    near = np.abs(network - right) <= REACH
    errors = np.abs(placed - right)[near]
    return {
        "clips": len(on_beat),
        "cuts on a beat": float(np.mean(on_beat)),
        "at random starts": float(np.mean(by_chance)),
        "network within 2.5 s": int(near.sum()),
        "median error there": float(np.median(errors)),
        "within 0.15 s there": float((errors <= 0.15).mean()),
        "within 0.15 s of all": float((np.abs(placed - right) <= 0.15).mean()),
    }


def probability_figures(rows: Sequence[Case], found: Sequence[Detection]) -> dict[str, Any]:
    """Of the moments that are said to be right with a probability: how often they are."""
    pairs = [
        (one.evidence["survey_probability"], abs(one.moment.start - case.right) <= NEAR)
        for case, one in zip(rows, found, strict=True)
        if "survey_probability" in one.evidence
    ]
    said, right = np.array(pairs, np.float64).reshape(-1, 2).T
    share = float(right.mean()) if len(right) else 0.0
    return {
        "away from the start": len(pairs),
        "probability said": float(said.mean()) if len(said) else 0.0,
        "right": share,
        "Brier score": float(((said - right) ** 2).mean()) if len(said) else 0.0,
        "of the base rate": share * (1 - share),
        "pairs": [[float(probability), bool(hit)] for probability, hit in pairs],
    }


def show(name: str, seeds: Mapping[int, dict[str, Any]]) -> None:
    """The mean over the seeds, and after ± their deviation."""
    first = next(iter(seeds.values()))
    print(f"\n{name}: {first['rows']} clips, {first['tracks']} tracks, seeds {[*seeds]}")
    keys = ("mIoU", "IoU@0.5", "IoU@0.7", "R1", "R10", "MoR1@0.5", "MoR10@0.5")
    print(f"{'':16}" + "".join(f"{key:>16}" for key in keys))
    for method, measures in first["methods"].items():
        cells = []
        for key in keys:
            values = [found["methods"][method].get(key, np.nan) for found in seeds.values()]
            cells.append(f"{over(values):>16}" if key in measures else " " * 16)
        print(f"{method:16}" + "".join(cells))
    for kind in ("placement", "probability"):
        for what in first[kind]:
            if what == "pairs":
                continue
            print(f"  {what}: {over([found[kind][what] for found in seeds.values()])}")
    print(flush=True)


def over(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values):.3f}" if np.std(values) else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()

"""Make the model that comes with mgsv, and measure it beside everything simpler.

    python recipes/corpus.py CORPUS
    python recipes/default_model.py CORPUS WORK                    # compose, train, fit, measure
    python recipes/default_model.py CORPUS WORK --seeds 42 43 44   # three runs on the same data
    python recipes/default_model.py CORPUS WORK --ship made.safetensors  # ... of the first seed

WORK holds the composed data (`composed`, of the first editor, split by track and picture; `second`,
test rows of the other editor; `offset`, test rows cut off the beat by a constant), the analyses
they need (`cache`), a folder `run-SEED` for each training, `made-SEED.safetensors`, and the figures
of all seeds, `figures-composed.json` and so on. A second run goes on where a first one stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus

from composed_cases import Case, Corpus, cases
from mgsv.config import to_dict
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.evaluation import protocol
from mgsv.evaluation.measures import all_measures, moment_iou, ranks, retrieval_measures
from mgsv.evaluation.memory import starts_of as model_starts
from mgsv.evaluation.results import Results
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.memory import fusion as fusing
from mgsv.methods.base import Detection, Placement
from mgsv.methods.blind import blind_answers
from mgsv.methods.learned import learned
from mgsv.methods.placement import REACH, Music, cuts_on_beat
from mgsv.methods.registry import open_method
from mgsv.methods.survey import (
    ACCENTS,
    BEATS,
    HABITS,
    RECORD,
    Survey,
    SurveyWeights,
    odds_of,
    spacing,
    survey_terms,
    survey_track,
)
from mgsv.methods.sync import Sync
from mgsv.methods.synchrony import pattern_of
from mgsv.models import checkpoint
from mgsv.synthesis.composed import ComposeInputs, ComposeOptions, compose, worker_processes
from mgsv.synthesis.composed.plan import FRAME_RATE
from mgsv.training.fit import train

Floats = npt.NDArray[np.float64]

ROWS = 12_000
LICENCE = "features of freely licensed works; the corpus manifest names each one's package, licence"
DATA = {
    "composed": ComposeOptions(train=ROWS, val=400, test=400, noise=1.0, half=True),
    "second": ComposeOptions(train=0, val=0, test=400, composer="second", half=True),
    "offset": ComposeOptions(train=0, val=0, test=200, seed=5, offset_max=0.25, half=True),
}
PRESET = "cpu-small"
SETTINGS: tuple[str, ...] = ("train.epochs=12", "train.val_rows=0")
SHARPNESS = 0.1
"""Seconds: a start so far from the truth counts 1 / e in fitting the survey's weights."""
RIDGE = 1e-3
ACCENTED, KEPT_ACCENTS = 0.5, 0.8
"""Share of the val rows that are also seen with cuts on accents, and of the accents that are."""
FREE = 0.5
"""Share of them that are also seen with cuts and motion that follow nothing."""
RANKINGS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
RANDOM_STARTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--jobs", type=int, default=2, help="processes that compose")
    parser.add_argument("--set", nargs="*", default=[], help="changes to the settings")
    parser.add_argument("--measure", nargs="*", choices=DATA, default=[*DATA], metavar="NAME")
    parser.add_argument("--ship", type=Path, help="write the model of the first seed there")
    options = parser.parse_args()
    work: Path = options.work
    corpus = Corpus(options.corpus, work / "cache")
    made_of(corpus, work, options.jobs)
    models = {seed: work / f"made-{seed}.safetensors" for seed in options.seeds}
    missing = {seed: model for seed, model in models.items() if not model.exists()}
    runs = {seed: trained(work, seed, options.set) for seed in missing}
    if missing:
        fit([*runs.values()], work / "composed", corpus, [*missing.values()])
    if options.ship:
        shutil.copyfile(next(iter(models.values())), options.ship)
    for name in options.measure:
        split = Measured.of(work / name, corpus, work / "composed")
        figures = {seed: split.figures(model) for seed, model in models.items()}
        show(name, figures)
        text = json.dumps(figures, indent=1) + "\n"
        (work / f"figures-{name}.json").write_text(text, encoding="utf-8")


def made_of(corpus: Corpus, work: Path, jobs: int) -> None:
    """Compose what is not there yet."""
    for name, options in DATA.items():
        if not (work / name).exists():
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


def trained(work: Path, seed: int, changes: Sequence[str]) -> Path:
    """The checkpoint of the run with this seed."""
    output = work / f"run-{seed}"
    result = train(
        "made",
        data=work / "composed",
        output=output,
        preset=PRESET,
        set=(*SETTINGS, f"train.seed={seed}", *changes),
        resume=(output / "config.json").exists(),
    )
    print(f"trained in {result.seconds:.0f} s: {dict(result.best)}", flush=True)
    return result.checkpoints["mIoU"]


# --- the survey -----------------------------------------------------------------------------------


def fit(sources: Sequence[Path], data: Path, corpus: Corpus, outputs: Sequence[Path]) -> None:
    """Write the models of `sources` to `outputs` in 16 bits, each with a survey fitted on val."""
    rows, split = list(cases(data, "val", corpus)), SplitData.open(data, "val")
    weights = fit_weights([*rows, *other_habits(rows)])
    print(f"weights of the survey: {to_dict(weights)}", flush=True)
    densities = [survey_track(case.query, case.features, weights).density for case in rows]
    columns = sorted({case.row.music_id for case in rows})
    true = np.array([columns.index(case.row.music_id) for case in rows])
    fits = fitting(rows, weights, columns)
    for source, output in zip(sources, outputs, strict=True):
        loaded = checkpoint.load(source)
        answers = protocol.run_model(loaded.model, split, music_set=False)
        fused = fusing.fit(
            densities,
            model_starts(answers),
            answers.confidence,
            np.array([case.right for case in rows]),
        )
        scores, names = scores_of(loaded, split)
        assert names == columns
        reached = {weight: mean_reciprocal(scores + weight * fits, true) for weight in RANKINGS}
        found = Survey(weights, fused, max(reached, key=reached.__getitem__))
        print(f"{output.name}: {found.fusion}, ranking {found.ranking}", flush=True)
        checkpoint.save(
            output,
            loaded.name,
            loaded.model,
            loaded.encoders,
            record={**loaded.record, RECORD: found.as_record()},
            licence=loaded.licence,
            half=True,
        )


def fit_weights(rows: Sequence[Case]) -> SurveyWeights:
    """The weights, none below 0, under which the true starts are most likely."""
    names = list(to_dict(SurveyWeights()))
    sides = []
    for case in rows:
        starts, terms = survey_terms(pattern_of(case.query), Music.of(case.features))
        apart = np.log(spacing(starts))
        near = apart - np.abs(starts - case.right) / SHARPNESS
        tables = [np.stack([terms[n] for n in part], 1) for part in (HABITS, BEATS, ACCENTS)]
        sides.append([torch.from_numpy(part) for part in (*tables, apart, near)])
    places = [[names.index(name) for name in part] for part in (HABITS, BEATS, ACCENTS)]
    doubts = [names.index(name) for name in ("beats_doubt", "accents_doubt")]
    roots = torch.ones(len(names), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([roots], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        weights = roots**2
        total = RIDGE * len(sides) * (weights**2).sum()
        for *tables, apart, near in sides:
            sums = [table @ weights[at] for table, at in zip(tables, places, strict=True)]
            edit = torch.logaddexp(sums[1] - weights[doubts[0]], sums[2] - weights[doubts[1]])
            odds = sums[0] + softplus(edit)
            total = total + torch.logsumexp(odds + apart, 0) - torch.logsumexp(odds + near, 0)
        total = total / len(sides)
        total.backward()
        return total

    optimizer.step(loss)
    weights = (roots.detach() ** 2).tolist()
    return SurveyWeights(**{n: round(w, 3) for n, w in zip(names, weights, strict=True)})


def other_habits(rows: Sequence[Case]) -> list[Case]:
    """Rows as people edit who do not cut to the beat, as the editor of the training data does."""
    rng = np.random.default_rng(0)
    accented = [on_accents(case, rng) for case in rows if rng.random() < ACCENTED]
    return [*accented, *(on_nothing(case, rng) for case in rows if rng.random() < FREE)]


def on_accents(case: Case, rng: np.random.Generator) -> Case:
    """The same clip, cut to the strongest onsets of its moment."""
    features, seconds = case.features, case.query.seconds
    first, last = (round((case.right + at) * ONSET_RATE) for at in (0.3, seconds - 0.3))
    onset = features.onset[max(first, 0) : max(last, 0)].astype(np.float32)
    apart = rng.uniform(0.5, 2.5)
    cuts: list[float] = []
    for place in np.argsort(-onset):
        at = (max(first, 0) + place) / ONSET_RATE - ONSET_DELAY - case.right
        if all(abs(at - cut) >= apart for cut in cuts):
            cuts.append(float(np.ceil(at * FRAME_RATE) / FRAME_RATE))
    kept = np.sort([cut for cut in cuts if rng.random() < KEPT_ACCENTS and cut > 0])
    curves = replace(case.query.curves, cuts=kept.astype(np.float32))
    return replace(case, query=replace(case.query, curves=curves))


def on_nothing(case: Case, rng: np.random.Generator) -> Case:
    """The same clip with as many cuts, at random times, and its motion backwards."""
    curves = case.query.curves
    cuts = np.sort(rng.uniform(0, case.query.seconds, len(curves.cuts))).astype(np.float32)
    other = replace(curves, cuts=cuts, motion=curves.motion[::-1].copy())
    return replace(case, query=replace(case.query, curves=other))


def fitting(rows: Sequence[Case], weights: SurveyWeights, columns: Sequence[str]) -> Floats:
    """[V, M] log-odds of the start that suits each clip's cuts and motion best, on every track."""
    tracks = {case.row.music_id: Music.of(case.features) for case in rows}
    found = np.empty((len(rows), len(columns)))
    for n, case in enumerate(rows):
        clip = pattern_of(case.query)
        for m, name in enumerate(columns):
            _, terms = survey_terms(clip, tracks[name])
            found[n, m] = odds_of(terms, weights)[1].max()
    return found


def scores_of(loaded: checkpoint.Checkpoint, split: SplitData) -> tuple[Floats, list[str]]:
    """[V, M] the network's scores, and the ids of the M distinct tracks."""
    names, first = np.unique(np.array(split.rows.music_ids, object), return_index=True)
    model: Any = loaded.model
    with torch.inference_mode():
        tracks = model.embed_tracks(split.batch(first))
        videos = model.embed_videos(split.batch(np.arange(len(split))))
        return model.pair_scores(videos, tracks).double().numpy(), names.tolist()


def mean_reciprocal(scores: Floats, true: npt.NDArray[np.int64]) -> float:
    return retrieval_measures(ranks(scores, true))["MRR"]


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
    def of(cls, data: Path, corpus: Corpus, trained_on: Path) -> Measured:
        rows, split = list(cases(data, "test", corpus)), SplitData.open(data, "test")
        tracks = {case.row.music_id: case.features for case in rows}
        columns = sorted(tracks)
        every = [tracks[name] for name in columns]
        scores = np.stack([Sync().score_tracks(case.query, every) for case in rows])
        scores = scores.astype(np.float64)
        found = [
            open_method("sync").detect(case.query, [case.features], Placement())[0] for case in rows
        ]
        train = DataFolder.open(trained_on).annotations("train")
        answers = blind_answers(split.rows, split.segments, train)
        answers["sync"] = moments_at(rows, starts_of(found))
        return cls(rows, split, columns, answers, scores, {})

    def figures(self, model: Path) -> dict[str, Any]:
        """Every measure of every method, with the network and the survey in the file `model`."""
        rows, columns = self.rows, self.columns
        loaded = checkpoint.load(model)
        own = Survey.of(loaded.record)
        assert own is not None
        if own.weights not in self.fits:
            self.fits[own.weights] = fitting(rows, own.weights, columns)
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
        method = learned(loaded)
        placed = starts_of(method.detect(c.query, [c.features], Placement())[0] for c in rows)
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
    for what in first["placement"]:
        print(f"  {what}: {over([found['placement'][what] for found in seeds.values()])}")
    print(flush=True)


def over(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values):.3f}" if np.std(values) else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()

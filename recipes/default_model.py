"""Make the model that comes with mgsv, and measure it beside everything simpler.

    python recipes/corpus.py CORPUS
    python recipes/default_model.py CORPUS WORK              # compose, train, fit, measure; seed 42
    python recipes/default_model.py CORPUS WORK --seed 43    # another run on the same data
    python recipes/default_model.py CORPUS WORK --ship made.safetensors

WORK holds the composed data (`composed`, of the first editor, split by track and picture; `second`,
test rows of the other editor; `offset`, test rows cut off the beat by a constant), the analyses
they need (`cache`), a folder `run-SEED` for each training, `made-SEED.safetensors` and the figures,
`figures-SEED.json`. A second run goes on where a first one stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus

from composed_cases import Case, Corpus, cases
from mgsv.config import to_dict
from mgsv.data.compose import ComposeOptions, compose
from mgsv.data.dataset import SplitData
from mgsv.evaluation import protocol
from mgsv.evaluation.evaluate import blind_answers
from mgsv.evaluation.measures import all_measures, moment_iou, ranks
from mgsv.evaluation.results import Results
from mgsv.methods import fusion as fusing
from mgsv.methods.agreement import pattern_of
from mgsv.methods.base import Detection, Placement
from mgsv.methods.learned import Learned
from mgsv.methods.placement import REACH, Music, cuts_on_beat
from mgsv.methods.survey import (
    OF_THE_CLIP,
    RECORD,
    Survey,
    SurveyWeights,
    odds_of,
    survey,
    survey_terms,
)
from mgsv.methods.sync import Sync
from mgsv.models import checkpoint
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
RANKINGS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
RANDOM_STARTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--jobs", type=int, default=2, help="processes that compose")
    parser.add_argument("--set", nargs="*", default=[], help="changes to the settings")
    parser.add_argument("--ship", type=Path, help="write the model there, without its training")
    options = parser.parse_args()
    work: Path = options.work
    corpus = Corpus(options.corpus, work / "cache")
    made_of(corpus, work, options.jobs)
    model = work / f"made-{options.seed}.safetensors"
    if not model.exists():
        fit(trained(work, options.seed, options.set), work / "composed", corpus, model)
    figures = work / f"figures-{options.seed}.json"
    if not figures.exists():
        found = {name: measured(model, work / name, corpus, work / "composed") for name in DATA}
        figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(json.loads(figures.read_text(encoding="utf-8")))
    if options.ship:
        shutil.copyfile(model, options.ship)


def made_of(corpus: Corpus, work: Path, jobs: int) -> None:
    """Compose what is not there yet."""
    for name, options in DATA.items():
        if not (work / name).exists():
            compose(
                work / name,
                music=corpus.folder / "music",
                pictures=corpus.folder / "pictures",
                clips=corpus.folder / "clips",
                manifest=corpus.manifest,
                options=options,
                cache=corpus.cache,
                jobs=jobs,
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


def fit(source: Path, data: Path, corpus: Corpus, output: Path) -> None:
    """Write the model of `source` to `output` in 16 bits, with a survey fitted on val."""
    rows = list(cases(data, "val", corpus))
    loaded = checkpoint.load(source)
    weights = fit_weights(rows)
    densities = [survey(case.query, case.features, weights).density for case in rows]
    split = SplitData.open(data, "val")
    answers = protocol.run(loaded.model, split, music_set=False)
    fused = fusing.fit(
        densities,
        answers.predicted.mean(axis=1) - answers.video_seconds / 2,
        answers.confidence,
        np.array([case.right for case in rows]),
    )
    scores, columns = scores_of(loaded, split)
    fits = fitting(rows, weights, columns)
    true = np.array([columns.index(case.row.music_id) for case in rows])
    ranking = max(RANKINGS, key=lambda weight: mean_reciprocal(scores + weight * fits, true))
    found = Survey(weights, fused, ranking)
    print(f"survey: {found}", flush=True)
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
        spacing = np.log(np.gradient(starts)) if len(starts) > 1 else np.zeros(1)
        near = spacing - np.abs(starts - case.right) / SHARPNESS
        tables = [np.stack([terms[n] for n in part], 1) for part in parts(terms)]
        sides.append([torch.from_numpy(part) for part in (*tables, spacing, near)])
    places = [[names.index(name) for name in part] for part in parts(terms)]
    roots = torch.ones(len(names), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([roots], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        weights = roots**2
        doubt = weights[names.index("doubt")]
        total = RIDGE * len(sides) * (weights**2).sum()
        for habits, edits, spacing, near in sides:
            odds = habits @ weights[places[0]] + softplus(edits @ weights[places[1]] - doubt)
            total = total + torch.logsumexp(odds + spacing, 0) - torch.logsumexp(odds + near, 0)
        total = total / len(sides)
        total.backward()
        return total

    optimizer.step(loss)
    weights = (roots.detach() ** 2).tolist()
    return SurveyWeights(**{n: round(w, 3) for n, w in zip(names, weights, strict=True)})


def parts(terms: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of habits, and of what the clip says."""
    return [n for n in terms if n not in OF_THE_CLIP], [n for n in terms if n in OF_THE_CLIP]


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
    model = loaded.model
    with torch.inference_mode():
        tracks = model.embed_tracks(split.batch(first))
        videos = model.embed_videos(split.batch(np.arange(len(split))))
        return model.pair_scores(videos, tracks).double().numpy(), names.tolist()


def mean_reciprocal(scores: Floats, true: npt.NDArray[np.int64]) -> float:
    return float((1 / ranks(scores, true)).mean())


# --- figures --------------------------------------------------------------------------------------


def measured(model: Path, data: Path, corpus: Corpus, trained_on: Path) -> dict[str, object]:
    """Every method on the test rows of `data`."""
    rows = list(cases(data, "test", corpus))
    split = SplitData.open(data, "test")
    loaded = checkpoint.load(model)
    method = Learned(loaded)
    own = Survey.of(loaded.record)
    assert own is not None
    rng = np.random.default_rng(0)

    scores, columns = scores_of(loaded, split)
    fits = fitting(rows, own.weights, columns)
    tracks = {case.row.music_id: case.features for case in rows}
    true = np.array([columns.index(case.row.music_id) for case in rows])
    by_sync = np.stack(
        [Sync().score_tracks(case.query, [tracks[name] for name in columns]) for case in rows]
    )
    rank_of = {
        "sync": ranks(by_sync, true),
        "network alone": ranks(scores, true),
        "survey alone": ranks(fits, true),
        "made": ranks(scores + own.ranking * fits, true),
    }

    network = protocol.run(loaded.model, split, music_set=False)
    centred = network.predicted.mean(axis=1) - network.video_seconds / 2
    placed = [method.detect(case.query, [case.features], Placement())[0] for case in rows]
    starts = {
        "sync": starts_of(Sync().detect(c.query, [c.features], Placement())[0] for c in rows),
        "network alone": np.clip(centred, 0, [case.latest for case in rows]),
        "survey alone": np.array(
            [
                survey(c.query, c.features, own.weights).density.candidates(1)[0].moment.start
                for c in rows
            ]
        ),
        "made": starts_of(placed),
    }
    seconds = network.video_seconds
    moments = {name: np.stack([at, at + seconds], axis=1) for name, at in starts.items()}
    moments |= blind_answers(trained_on, split)
    figures = {name: replace(network, predicted=m) for name, m in moments.items()}
    table = {name: all_measures(answer.iou, rank_of.get(name)) for name, answer in figures.items()}
    table["random start"] = all_measures(random_iou(rows, network, rng))
    return {
        "rows": len(rows),
        "tracks": len(columns),
        "methods": table,
        "placement": placement_figures(rows, starts["network alone"], starts["made"], rng),
    }


def starts_of(found: Sequence[Detection]) -> Floats:
    return np.array([detection.moment.start for detection in found])


def random_iou(rows: Sequence[Case], answers: Results, rng: np.random.Generator) -> Floats:
    """[V x RANDOM_STARTS] of starts anywhere."""
    found = []
    for _ in range(RANDOM_STARTS):
        starts = np.array([rng.uniform(0, case.latest) for case in rows])
        moments = np.stack([starts, starts + answers.video_seconds], axis=1)
        found.append(moment_iou(moments, answers.true, answers.track_seconds))
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


def show(figures: dict[str, dict[str, object]]) -> None:
    for name, found in figures.items():
        print(f"\n{name}: {found['rows']} clips, {found['tracks']} tracks")
        keys = ("mIoU", "IoU@0.5", "IoU@0.7", "R1", "R10", "MoR1@0.5", "MoR10@0.5")
        print(f"{'':16}" + "".join(f"{key:>10}" for key in keys))
        for method, values in found["methods"].items():
            cells = [f"{values[key]:10.3f}" if key in values else " " * 10 for key in keys]
            print(f"{method:16}" + "".join(cells))
        for what, value in found["placement"].items():
            print(f"  {what}: {value:.3f}")


if __name__ == "__main__":
    main()

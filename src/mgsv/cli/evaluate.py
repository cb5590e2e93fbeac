"""`mgsv evaluate`: a checkpoint's measures on a split, or those of past uses alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError, shown


@click.command()
@click.argument("checkpoint", type=options.FILE, required=False)
@click.option(
    "--method",
    type=click.Choice(["model", "memory"]),
    default="model",
    show_default=True,
    help="What answers: CHECKPOINT, or past uses of the same tracks (no data folder needed).",
)
@click.option("--data", type=options.FILE, metavar="DIR", help="The data folder, packed.")
@click.option(
    "--uses",
    type=options.FILE,
    metavar="CSV",
    help="Past uses, in MGSV-EC's columns: the memory, alone or beside CHECKPOINT.",
)
@click.option(
    "--queries", type=options.FILE, metavar="CSV", help="What --method memory is measured on."
)
@click.option(
    "--fusion", type=options.FILE, metavar="FILE", help="Write what fuses CHECKPOINT with --uses."
)
@options.matcher
@options.detector
@options.first_stage
@click.option(
    "--candidates",
    "rerank",
    default=100,
    show_default=True,
    help="Tracks of the first stage that the model ranks.",
)
@click.option("--split", default="test", show_default=True, help="train, val or test.")
@options.as_json
@click.option(
    "--report", type=options.FILE, metavar="DIR", help="Also write a page with plots there."
)
@click.option(
    "--music-set/--single-music",
    default=True,
    show_default=True,
    help="Rank all tracks too, or only find the moment on the true one.",
)
@click.option("--batch-size", default=128, show_default=True, help="Rows at once.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda ...")
@options.on
@options.progress
def evaluate(
    checkpoint: Path | None,
    method: str,
    data: Path | None,
    uses: Path | None,
    queries: Path | None,
    fusion: Path | None,
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    rerank: int,
    split: str,
    as_json: bool,
    report: Path | None,
    music_set: bool,
    batch_size: int,
    device: str,
    on: str | None,
    progress: str,
) -> None:
    """Measure CHECKPOINT on a split, a composite of --matcher and --detector, or past uses of the
    same tracks by other videos.

    Beside a model stand its figures with the videos shuffled, and methods that never look at
    the video.
    """
    if method == "memory":
        others = (checkpoint, data, matcher, detector, first_stage, on)
        if not all(given is None for given in others):
            raise ConfigError(
                "--method memory takes annotations alone, no checkpoint, no --data and no --on",
                "leave --method out to measure a checkpoint beside --uses",
            )
        _evaluate_memory(uses, queries, as_json)
        return
    if data is None:
        raise click.UsageError("--data is missing: name the data folder")
    if queries is not None:
        raise click.UsageError("--queries goes with --method memory; a model has --split")
    from mgsv.evaluation.evaluate import EvaluateOptions, evaluate
    from mgsv.models.system import System

    system = System(
        checkpoint=checkpoint,
        matcher=matcher,
        detector=detector,
        first_stage=first_stage,
        rerank=rerank,
    )
    with options.workers(on) as executor, show.progress(progress, "evaluate") as listen:
        document = evaluate(
            system,
            data,
            split,
            report=report,
            uses=uses,
            fusion=fusion,
            options=EvaluateOptions(music_set, batch_size, device, executor),
            progress=listen,
        )
    if as_json:
        show.document(document)
    else:
        _print(document)
    if report is not None:
        show.note(f"report: {shown(report / 'index.html')}")


def _evaluate_memory(uses: Path | None, queries: Path | None, as_json: bool) -> None:
    if uses is None or queries is None:
        missing = "--uses" if uses is None else "--queries"
        raise ConfigError(f"--method memory needs {missing}", "name an annotation file")
    from mgsv.evaluation.memory import evaluate_memory

    document = evaluate_memory(uses, queries)
    if as_json:
        show.document(document)
    else:
        _print_memory(document)


def _print(document: dict[str, Any]) -> None:
    counts = f"{document['queries']} queries, {document['tracks']} tracks"
    show.line(f"{document['model']} on {document['split']}: {counts}")
    rows = []
    for name, value in document["measures"].items():
        low, high = (show.measure(name, end) for end in document["intervals"][name])
        wrong = show.measure(name, document["shuffled"][name])
        rows.append([name, show.measure(name, value), f"{low} to {high}", wrong])
    show.table(["measure", "value", "95 % interval", "videos shuffled"], rows)
    names = [name for name in document["measures"] if name == "mIoU" or name.startswith("IoU@")]
    if not names:
        return
    show.table(
        ["without a model", *names],
        [
            [method, *(show.measure(name, values[name]) for name in names)]
            for method, values in document["baselines"].items()
        ],
    )
    if "memory" in document:
        _print_parts(document["memory"]["parts"])


def _print_memory(document: dict[str, Any]) -> None:
    past = document["uses"]
    show.line(
        f"{past['rows']} past uses of {past['tracks']} tracks; "
        f"{document['queries']} queries on {document['tracks']} tracks"
    )
    if past["left_out"]:
        show.line(f"{past['left_out']} uses left out: their videos are queries")
    _print_parts(document["parts"])
    show.table(
        ["memory on", "stated probability", "share within 2.5 s", "gain over last use (mIoU)"],
        [
            [
                part["part"],
                *(f"{part['probability'][name]:.3f}" for name in ("stated", "true")),
                _signed(part["gain"]),
            ]
            for part in document["parts"]
        ],
    )
    per_track = ", ".join(f"{n}: {tracks}" for n, tracks in past["per_track"].items())
    show.line(f"tracks by past uses: {per_track}")
    published = ", ".join(f"{name} {value:.3f}" for name, value in document["published"].items())
    show.line(f"published mIoU on MGSV-EC's test split: {published}")
    show.line(f"note: {document['published_note']}")


def _print_parts(parts: list[dict[str, Any]]) -> None:
    """Single-music measures of every method, per part of the queries."""
    names = [*parts[0]["methods"][next(iter(parts[0]["methods"]))]["measures"]]
    names = [name for name in names if name == "mIoU" or name.startswith("IoU@")]
    rows = []
    for part in parts:
        for method, found in part["methods"].items():
            low, high = (f"{end:.4f}" for end in found["intervals"]["mIoU"])
            measures = found["measures"]
            rest = (show.measure(name, measures[name]) for name in names[1:])
            interval = f"{low} to {high}"
            label = f"{part['part']} ({part['queries']})"
            rows.append([label, method, f"{measures['mIoU']:.4f}", interval, *rest])
    show.table(["queries", "method", "mIoU", "95 % interval", *names[1:]], rows)


def _signed(gain: dict[str, Any]) -> str:
    low, high = gain["interval"]
    return f"{gain['mIoU']:+.4f} ({low:+.4f} to {high:+.4f})"

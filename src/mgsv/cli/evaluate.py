"""`mgsv evaluate`: a checkpoint's measures on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mgsv.cli import options, show
from mgsv.errors import shown


@click.command()
@click.argument("checkpoint", type=options.FILE, required=False)
@options.data_folder
@options.matcher
@options.detector
@options.first_stage
@click.option(
    "--candidates",
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …")
@options.progress
def evaluate(
    checkpoint: Path | None,
    data: Path,
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    candidates: int,
    split: str,
    as_json: bool,
    report: Path | None,
    music_set: bool,
    batch_size: int,
    device: str,
    progress: str,
) -> None:
    """Measure CHECKPOINT on a split, or a composite of --matcher and --detector.

    Beside stand its figures with the videos shuffled, and methods that never look at the video.
    """
    from mgsv.evaluation.evaluate import evaluate

    with show.steps(progress, "evaluate") as step:
        document = evaluate(
            checkpoint,
            data,
            split,
            matcher=matcher,
            detector=detector,
            first_stage=first_stage,
            candidates=candidates,
            report=report,
            music_set=music_set,
            batch_size=batch_size,
            device=device,
            progress=step and (lambda done, total: step("queries", done, total)),
        )
    if as_json:
        show.document(document)
    else:
        _print(document)
    if report is not None:
        show.note(f"report: {shown(report / 'index.html')}")


def _print(document: dict[str, Any]) -> None:
    counts = f"{document['queries']} queries, {document['tracks']} tracks"
    click.echo(f"{document['model']} on {document['split']}: {counts}")
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

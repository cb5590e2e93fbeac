"""The HTML report: one page without any other file, for people to look at what a model does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.clock import clock
from mgsv.drawing import BLUE, GREY, ORANGE
from mgsv.evaluation import plots
from mgsv.evaluation.results import Results
from mgsv.files import write_file

CASES = 12
"""Best and worst answers shown."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e6e8eb; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top; }
figcaption, small { color: #5b6672; font-size: .85rem; max-width: 34rem; }
img { max-width: 100%; } .wide { overflow-x: auto; }
"""


def write_report(
    path: Path,
    document: Mapping[str, Any],
    results: Results,
    highlight: npt.NDArray[np.float64] | None = None,
) -> None:
    """Write the page about `results` to `path`.

    `document` is what `evaluate` returns; `highlight` [V, 2] are the moments of the music-only
    highlight detector, in seconds.
    """
    best = results.iou
    worst = "Among those the model is surest of: wrong and doubtful is no surprise."
    mistakes = surest_mistakes(results)
    if not results.places:
        assert results.rank is not None
        best, worst = 1 / results.rank, "Whose tracks stand furthest down."
        mistakes = np.argsort(best, kind="stable")[:CASES]
    body = [
        f"<h1>{escape(document['model'])} on {escape(document['split'])}</h1>",
        f"<p>{document['queries']} queries, {document['tracks']} tracks. Brackets hold 95 % "
        "intervals over queries.</p>",
        "<h2>Measures</h2>",
        measures_table(document),
        "<h2>Beside methods that do not look</h2>",
        baselines_table(document),
        "<h2>Where the moments lie</h2>" if results.places else "<h2>Plots</h2>",
        _figures(document, results, highlight),
        "<h2>Parts</h2>",
        breakdown_table(document["breakdown"]),
        "<h2>Best answers</h2>",
        cases_table(results, np.argsort(-best, kind="stable")[:CASES]),
        "<h2>Worst answers</h2>",
        f"<p>{worst}</p>",
        cases_table(results, mistakes),
    ]
    write_page(path, f"{document['model']} on {document['split']}", body)


def write_page(path: Path, title: str, body: Iterable[str]) -> None:
    """Write a page of HTML parts, in place of an earlier one."""
    page = (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    write_file(path, page, overwrite=True)


def result_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of cells that are HTML already."""
    lines = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>\n" for row in rows)
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    return f'<div class="wide"><table><tr>{heads}</tr>\n{lines}</table></div>'


def formatted(name: str, value: float) -> str:
    """A measure as people write it: fractions with three places, per cent and ranks with one."""
    return f"{value:.3f}" if name in ("mIoU", "MRR") else f"{value:.1f}"


def measures_table(document: Mapping[str, Any]) -> str:
    intervals, shuffled = document["intervals"], document["shuffled"]
    rows = []
    for name, value in document["measures"].items():
        low, high = (formatted(name, bound) for bound in intervals[name])
        rows.append(
            (name, formatted(name, value), f"[{low}, {high}]", formatted(name, shuffled[name]))
        )
    half = -(-len(rows) // 2)
    columns = [result_table(("measure", "model", "", "videos shuffled"), rows[:half])]
    columns.append(result_table(("measure", "model", "", "videos shuffled"), rows[half:]))
    return "".join(f"<figure>{column}</figure>" for column in columns)


def baselines_table(document: Mapping[str, Any]) -> str:
    names = ("mIoU", "IoU@0.3", "IoU@0.5", "IoU@0.7")
    rows = {"this model": document["measures"], "its videos shuffled": document["shuffled"]}
    rows = {row: values for row, values in rows.items() if "mIoU" in values}
    rows |= document["baselines"]
    return result_table(
        ("method", *names),
        [(escape(row), *(formatted(n, values[n]) for n in names)) for row, values in rows.items()],
    )


def breakdown_table(parts: Sequence[Mapping[str, Any]]) -> str:
    names = [n for n in ("mIoU", "IoU@0.7", "R1", "R10", "MoR1@0.7") if n in parts[0]["measures"]]
    return result_table(
        ("part", "queries", *names),
        [
            (
                escape(f"{part['by']}: {part['label']}"),
                str(part["queries"]),
                *(formatted(n, part["measures"][n]) for n in names),
            )
            for part in parts
        ],
    )


def surest_mistakes(results: Results) -> npt.NDArray[np.int64]:
    """Answers with IoU below 0.1, the most confident first."""
    wrong = np.flatnonzero(results.iou < 0.1)
    return wrong[np.argsort(-results.confidence[wrong], kind="stable")][:CASES]


def cases_table(results: Results, at: npt.NDArray[np.integer]) -> str:
    """The queries `at`, each with the true (above) and the predicted moment drawn on its track."""
    rank = results.rank
    return result_table(
        ("video", "track", "true", "predicted", "on the track", "IoU", "rank"),
        [
            (
                escape(results.videos[i]),
                escape(results.tracks[i]),
                _clocks(results.true[i]),
                _clocks(results.predicted[i]),
                _bars(results, int(i)),
                f"{results.iou[i]:.2f}" if results.places else "",
                "" if rank is None else str(rank[i]),
            )
            for i in at
        ],
    )


def _clocks(moment: npt.NDArray[np.float64]) -> str:
    if not np.isfinite(moment).all():
        return "–"
    start, end = (clock(max(0.0, float(edge))) for edge in moment)
    return f"{start}–{end}"


def _bars(results: Results, i: int) -> str:
    width, seconds = 260.0, max(float(results.track_seconds[i]), 1e-3)
    bars = [f'<rect y="9" width="{width:g}" height="2" fill="{GREY}"/>']
    for top, moment, colour in (
        (0, results.true[i], BLUE),
        (12, results.predicted[i], ORANGE),
    ):
        if np.isfinite(moment).all():
            left, right = np.clip(moment / seconds, 0, 1) * width
            long = max(1.5, right - left)
            bars.append(
                f'<rect x="{left:.1f}" y="{top}" width="{long:.1f}" height="8" fill="{colour}"/>'
            )
    return f'<svg width="{width:g}" height="20">{"".join(bars)}</svg>'


def _figures(
    document: Mapping[str, Any], results: Results, highlight: npt.NDArray[np.float64] | None
) -> str:
    true, predicted = results.true[:, 0], np.maximum(results.predicted[:, 0], 0.0)
    figures = []
    if np.isfinite(predicted).any():
        labels = ("true start in seconds", "predicted start in seconds")
        figures.append((plots.positions(true, predicted, labels), "True and predicted starts."))
    if results.places:
        histogram = plots.iou_histogram(results, document["shuffled"]["mIoU"])
        figures.append((histogram, "How many queries reach which IoU."))
    if results.rank is not None:
        figures.append(
            (
                plots.recall_curves(results, document["tracks"]),
                "Share of queries whose track is ranked within k.",
            )
        )
    if highlight is not None:
        labels = ("start of the highlight in seconds", "true start in seconds")
        figures.append(
            (
                plots.positions(highlight[:, 0], true, labels),
                "What stands out in the music alone (loud, repeated, new) and what was used.",
            )
        )
    if results.places:
        by_length = plots.iou_by_length(results)
        figures.append((by_length, "Mean IoU in ten equal parts of the queries."))
    return "".join(
        f"<figure>{image}<figcaption>{escape(text)}</figcaption></figure>"
        for image, text in figures
    )

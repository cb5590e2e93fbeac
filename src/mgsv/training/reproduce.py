"""The paper's ablations of MaDe, and what its data is worth: lists of runs, measured and kept.

Every run has a folder of its own under the output and is skipped once measured, so a killed list
resumes where it stopped, even within a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsv.data.dataset import SplitData
from mgsv.errors import ConfigError
from mgsv.evaluation.evaluate import best_blind
from mgsv.jobs import Listener
from mgsv.models.configs import ABLATIONS
from mgsv.training.config import configure
from mgsv.training.runs import THETA, measure_name, measured, text_table, write

MEASURES = ("mIoU", "MoR1", "MoR10", "MoR100")


@dataclass(frozen=True)
class AblationRow:
    """A row of the paper's ablation table: how it words the change, and its test figures."""

    setup: str
    paper: tuple[float, float, float, float]
    """mIoU (a fraction) and MoR1, MoR10, MoR100 (per cent)."""


PAPER: Mapping[str, AblationRow] = {
    "full": AblationRow("full", (0.722, 8.3, 17.6, 30.7)),
    "no_sa": AblationRow("without SA (unimodal)", (0.699, 6.4, 14.3, 27.4)),
    "mlp": AblationRow("SA → MLP", (0.707, 6.8, 14.1, 26.9)),
    "dual_only": AblationRow("p_s = cs(h(v), h0(M))", (0.708, 7.1, 15.8, 29.1)),
    "xpool_only": AblationRow("p_s = cs(h(v), h1(M))", (0.707, 6.3, 15.1, 29.0)),
    "single_loss": AblationRow("single loss", (0.715, 7.5, 16.8, 29.2)),
    "feature_fuse": AblationRow("h0(M) + h1(M)", (0.716, 6.9, 16.0, 28.3)),
    "no_encoder": AblationRow("without SA×2 (fusion encoder)", (0.705, 8.1, 16.7, 29.1)),
    "cross_attention_fusion": AblationRow("SA×2 → CA", (0.697, 7.1, 16.4, 29.1)),
    "query_zero": AblationRow("0 as φ0", (0.709, 7.4, 16.4, 29.0)),
    "query_music": AblationRow("h0(M) as φ0", (0.719, 8.0, 17.4, 30.4)),
    "query_xpool": AblationRow("h1(M) as φ0", (0.718, 7.5, 16.9, 29.5)),
    "ten_queries": AblationRow("query tokens 1 → 10", (0.716, 7.6, 16.7, 30.6)),
    "predict_center": AblationRow("(p_c, p_w) → p_c", (0.706, 7.3, 16.5, 29.0)),
}
"""MGSV (ICCV 2025), rows 0 to 13."""


def reproduce_ablations(
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str = "cpu-ablation",
    rows: Iterable[str] = tuple(ABLATIONS),
    set: Iterable[str] = (),
    progress: Listener | None = None,
) -> list[dict[str, Any]]:
    """Train and measure `rows` of the ablation table on the data folder `data`.

    Returns the table, and writes it to `output` after every row: `ablations.json`, `.txt`, and
    `.html`. Each row is {number, name, setup, paper, ours, …, seconds}. Every run's best
    checkpoint by mIoU on val is measured on test. Call again with the same arguments to go on after
    a kill.
    """
    folder, changes = Path(output), tuple(set)
    names = list(rows)
    unknown = [name for name in names if name not in PAPER]
    if unknown:
        raise ConfigError(f"no ablation row {unknown[0]!r}", f"choose {', '.join(PAPER)}")
    made: list[dict[str, Any]] = []
    for name in names:
        number = list(PAPER).index(name)
        document = measured(
            folder / f"{number:02d}-{name}",
            data=data,
            preset=f"{preset}+{name}",
            set=changes,
            progress=progress,
        )
        made.append(
            {
                "number": number,
                "name": name,
                "setup": PAPER[name].setup,
                "paper": dict(zip(MEASURES, PAPER[name].paper, strict=True)),
                "ours": {m: document["measures"][measure_name(m)] for m in MEASURES},
                "R1": document["measures"]["R1"],
                "shuffled mIoU": document["shuffled"]["mIoU"],
                "best blind mIoU": best_blind(document),
                "seconds": document["seconds"],
            }
        )
        _write_table(folder, made)
    return made


def reproduce_data_size(
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str = "cpu-ablation",
    shares: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 1.0),
    set: Iterable[str] = (),
    progress: Listener | None = None,
) -> list[dict[str, Any]]:
    """Train on parts of the training rows and draw mIoU against their number.

    Smaller parts are seen more often, so that every run takes about the same number of steps: the
    curve shows what data is worth, not what time is worth. Writes `data-size.json` and `.html` to
    `output` after every run, and returns the rows {rows, epochs, mIoU, shuffled mIoU, seconds}.
    """
    folder, changes = Path(output), tuple(set)
    _, base = configure("made", preset, changes)
    whole = base.rows or len(SplitData.open(data, "train"))
    made: list[dict[str, Any]] = []
    for share in shares:
        if not 0 < share <= 1:
            raise ConfigError(f"a share of {share} of the training rows", "choose from (0, 1]")
        rows, epochs = round(whole * share), round(base.epochs / share)
        own = (
            *changes,
            f"train.rows={rows}",
            f"train.epochs={epochs}",
            # As many looks at val as the whole set's run has.
            f"train.validate_every={max(1, round(base.validate_every / share))}",
        )
        document = measured(
            folder / f"rows-{rows}",
            data=data,
            preset=preset,
            set=own,
            progress=progress,
        )
        made.append(
            {
                "rows": rows,
                "epochs": epochs,
                "mIoU": document["measures"]["mIoU"],
                "shuffled mIoU": document["shuffled"]["mIoU"],
                "best blind mIoU": best_blind(document),
                "seconds": document["seconds"],
            }
        )
        _write_curve(folder, made)
    return made


def _write_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The ablation table as JSON, plain text and HTML; ours beside the paper's."""
    from mgsv.evaluation.report import formatted as figure
    from mgsv.evaluation.report import result_table, write_page

    head = ["#", "setup"]
    for measure in MEASURES:
        head += [measure, "paper"]
    head += ["R1", "shuffled", "min"]
    cells = []
    for row in rows:
        line = [str(row["number"]), row["setup"]]
        for measure in MEASURES:
            line += [figure(measure, row[whose][measure]) for whose in ("ours", "paper")]
        line += [figure("R1", row["R1"]), figure("mIoU", row["shuffled mIoU"])]
        cells.append([*line, f"{row['seconds'] / 60:.1f}"])
    text = text_table(head, cells, left=1)
    note = (
        f"Ours: test split of the given data, MoR at IoU > {THETA}; "
        f"best blind mIoU {rows[0]['best blind mIoU']:.3f}. Paper: MGSV-EC."
    )
    write(folder / "ablations.json", json.dumps(list(rows), indent=2, ensure_ascii=False))
    write(folder / "ablations.txt", f"{text}\n\n{note}")
    body = ["<h1>Ablations of MaDe</h1>", f"<p>{note}</p>", result_table(head, cells)]
    write_page(folder / "ablations.html", "Ablations of MaDe", body)


def _write_curve(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from mgsv.evaluation import plots
    from mgsv.evaluation.report import result_table, write_page

    lines = {name: [row[name] for row in rows] for name in ("mIoU", "shuffled mIoU")}
    lines["best blind mIoU"] = [row["best blind mIoU"] for row in rows]
    image = plots.curve(
        [row["rows"] for row in rows], lines, ("training rows", "mIoU on test"), log=True
    )
    cells = [
        [f"{row['rows']:,}", str(row["epochs"]), *(f"{values[i]:.3f}" for values in lines.values())]
        for i, row in enumerate(rows)
    ]
    title = "mIoU and the size of the training set"
    write(folder / "data-size.json", json.dumps(list(rows), indent=2))
    body = [f"<h1>{title}</h1>", image, result_table(("rows", "epochs", *lines), cells)]
    write_page(folder / "data-size.html", title, body)

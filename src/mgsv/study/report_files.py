"""A report as text, as tables, and as a picture of bars; all of it as a folder."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mgsv.drawing import BLUE, FAINT, GREY, INK, ORANGE, Kind, encoded, styled
from mgsv.files import StrPath, new_folder
from mgsv.study.design import Question
from mgsv.study.report import Interval, Judgement, PairResult, QuestionResult, StudyReport

ASKED = {Question.FIT: "fits the picture", Question.MUSIC: "better music"}
STEP_NAMES = ("much better", "better", "no difference", "better", "much better")
_COLOURS = ("#1f4e85", BLUE, FAINT, ORANGE, "#a85d12")


def write_study_report(report: StudyReport, output: StrPath) -> Path:
    """Write the new folder `output`: report.txt, report.json, win_rates.csv, strengths.csv,
    answers.csv, bars.png and bars.svg. Raises `OutputError` where there is anything of that name.
    """
    with new_folder(output) as folder:
        (folder / "report.txt").write_text(report_text(report), "utf-8")
        document = json.dumps(report.as_dict(), indent=2, allow_nan=False)
        (folder / "report.json").write_text(document + "\n", "utf-8")
        for name, text in report_tables(report).items():
            (folder / name).write_text(text, "utf-8", newline="")
        for kind in ("png", "svg"):
            (folder / f"bars.{kind}").write_bytes(bars_picture(report, kind))
    return Path(output)


def report_text(report: StudyReport) -> str:
    """For people: a line for each figure."""
    lines = [
        f"{report.sessions - len(report.excluded)} of {report.sessions} sessions count, "
        f"{report.complete} of them complete; {report.clips} clips; "
        f"systems: {', '.join(report.systems)}"
    ]
    for token, reason in report.excluded:
        lines.append(f"left out: session {token[:6]}…: {reason}")
    lines += [f"damaged: {line}" for line in report.damaged]
    for one, other, clips in report.same:
        lines.append(f"{one} and {other} chose the same moment for {clips} clips: not asked")
    for result in report.questions:
        lines += ["", *_question_lines(result)]
    lines += [
        "",
        "A tie counts as half. In brackets: 95 % intervals by Wilson, and by resampling listeners",
        "and clips, which is the one to believe. Strengths: of two that differ by 1, without ties",
        "the stronger is preferred in 73 %.",
    ]
    return "\n".join(lines) + "\n"


def _question_lines(result: QuestionResult) -> list[str]:
    lines = [f"{ASKED[result.question]} ({result.answers} answers)"]
    for pair in result.pairs:
        lines.append(
            f"  {pair.one} over {pair.other}: {pair.rate:.1%} {_percent(pair.interval)} "
            f"{_percent(pair.clustered)}; {pair.steps[0] + pair.steps[1]} better, "
            f"{pair.steps[2]} no difference, {pair.steps[3] + pair.steps[4]} worse"
        )
    for one in sorted(result.strengths, key=lambda one: -one.strength):
        low, high = one.interval
        lines.append(
            f"  strength of {one.system}: {one.strength:+.2f} [{low:+.2f}, {high:+.2f}]; "
            f"preferred in {one.rate:.1%} {_percent(one.rate_interval)}"
        )
    order = result.order
    lines.append(
        f"  heard second is preferred in {order.second:.1%} {_percent(order.second_interval)}, "
        f"side B in {order.side_b:.1%} {_percent(order.side_b_interval)}"
    )
    alpha = "not known: no pair was judged twice"
    if math.isfinite(result.agreement):
        alpha = f"{result.agreement:.2f} (1: the same answers, 0: as by chance)"
    lines.append(f"  agreement of listeners, Krippendorff's alpha: {alpha}")
    return lines


def report_tables(report: StudyReport) -> dict[str, str]:
    """CSV files by their names."""
    rates: list[list[Any]] = []
    strengths: list[list[Any]] = []
    for result in report.questions:
        for pair in result.pairs:
            figures = (pair.rate, *pair.interval, *pair.clustered)
            numbers = [f"{value:.6f}" for value in figures]
            rates.append([result.question, pair.one, pair.other, *pair.steps, *numbers])
        for one in result.strengths:
            values = (one.strength, *one.interval, one.rate, *one.rate_interval)
            strengths.append([result.question, one.system, *(f"{v:.6f}" for v in values)])
    steps = ["one_much_better", "one_better", "no_difference", "other_better", "other_much_better"]
    ends = ["wilson_low", "wilson_high", "clustered_low", "clustered_high"]
    names = [entry.name for entry in fields(Judgement)]
    return {
        "win_rates.csv": _csv(["question", "one", "other", *steps, "rate", *ends], rates),
        "strengths.csv": _csv(
            ["question", "system", "strength", "low", "high", "rate", "rate_low", "rate_high"],
            strengths,
        ),
        "answers.csv": _csv(
            names, [[getattr(one, name) for name in names] for one in report.judgements]
        ),
    }


def bars_picture(report: StudyReport, kind: Kind) -> bytes:
    """Each pair as a bar of five steps, for both questions, with the win rate and its interval."""
    from matplotlib.figure import Figure

    most = max(len(result.pairs) for result in report.questions)
    with styled():
        figure = Figure(
            figsize=(8, 1.1 + len(report.questions) * (0.55 + 0.42 * most)), layout="constrained"
        )
        rows = figure.subplots(len(report.questions), 1, squeeze=False, sharex=True)
        for axes, result in zip(rows[:, 0], report.questions, strict=True):
            for place, pair in enumerate(result.pairs):
                _bar(axes, place, pair)
            axes.set_yticks(range(len(result.pairs)), [pair.one for pair in result.pairs])
            right = axes.secondary_yaxis("right")
            right.set_yticks(range(len(result.pairs)), [pair.other for pair in result.pairs])
            right.tick_params(length=0)
            right.spines["right"].set_visible(False)
            axes.set(xlim=(0, 100), ylim=(len(result.pairs) - 0.4, -0.6))
            axes.set_title(ASKED[result.question], loc="left", fontsize=10)
            axes.grid(visible=False)
            axes.axvline(50, color=GREY, linewidth=0.8, zorder=0)
        rows[-1, 0].set_xlabel("per cent of answers; ◆ win rate of the left one, 95 % interval")
        handles, labels = rows[0, 0].get_legend_handles_labels()
        figure.legend(
            handles[:5],
            [
                f"{side} {text}".strip()
                for text, side in zip(
                    labels[:5], ("left", "left", "", "right", "right"), strict=True
                )
            ],
            loc="outside upper center",
            ncols=5,
            fontsize=8,
        )
        return encoded(figure, kind)


def _bar(axes: Any, place: int, pair: PairResult) -> None:
    left = 0.0
    for count, colour, name in zip(pair.steps, _COLOURS, STEP_NAMES, strict=True):
        width = 100 * count / pair.count
        axes.barh(place, width, 0.62, left=left, color=colour, label=name)
        left += width
    low, high = (100 * end for end in pair.clustered)
    rate = 100 * pair.rate
    bars = [[max(0.0, rate - low)], [max(0.0, high - rate)]]
    axes.errorbar(
        rate, place, xerr=bars, fmt="D", color=INK, markersize=4, capsize=3, markeredgecolor="white"
    )


def _percent(interval: Interval) -> str:
    return f"[{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()

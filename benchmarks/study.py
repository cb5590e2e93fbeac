"""Whether a study's report can be trusted, by simulated listeners: nobody has heard anything.

    .venv/bin/python benchmarks/study.py               # 200 studies of each size, some minutes
    .venv/bin/python benchmarks/study.py --studies 20

For studies of different sizes, each with clips and listeners of its own: how often the 95 %
intervals of the win rates hold the rate of all clips and listeners there could be, Wilson's and the
resampled ones; how often the order effect that was put in is found, and one is found that was not;
and how many random clickers, and how many who listen, are left out.
"""

from __future__ import annotations

import argparse

import numpy as np
from study_listeners import Crowd, paper_key, paper_study, simulated, true_rate

from mgsv.study.exclusion import why_excluded
from mgsv.study.report import report_sessions

WORTH = (0.8, 0.0, -0.4)
SIZES = ((10, 10), (20, 20), (40, 30))
"""Clips, listeners."""
SECOND = 0.5
"""What is heard second is worth so much more, where it is."""
RESAMPLES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    studies: int = parser.parse_args().studies
    crowd = Crowd(WORTH)
    print("| clips | listeners | Wilson holds | resampled holds | its width | right order |")
    print("|---|---|---|---|---|---|")
    for clips, listeners in SIZES:
        study = paper_study(clips=clips, systems=len(WORTH))
        key = paper_key(study)
        wilson, clustered, widths, ranked = [], [], [], []
        for seed in range(studies):
            sessions = simulated(study, crowd, range(listeners), seed)
            result = report_sessions(sessions, key, resamples=RESAMPLES, seed=seed).questions[0]
            for pair in result.pairs:
                one, other = key.systems.index(pair.one), key.systems.index(pair.other)
                true = true_rate(WORTH, one, other, crowd)
                wilson.append(pair.interval[0] <= true <= pair.interval[1])
                clustered.append(pair.clustered[0] <= true <= pair.clustered[1])
                widths.append(pair.clustered[1] - pair.clustered[0])
            found = sorted(result.strengths, key=lambda one: -one.strength)
            ranked.append([one.system for one in found] == list(key.systems))
        shares = (f"{np.mean(one):.1%}" for one in (wilson, clustered, widths, ranked))
        print(f"| {clips} | {listeners} | {' | '.join(shares)} |")
    study = paper_study(clips=20, systems=len(WORTH))
    for second in (SECOND, 0.0):
        reports = (
            report_sessions(
                simulated(study, Crowd(WORTH, second=second), range(20), seed),
                paper_key(study),
                resamples=2,
            )
            for seed in range(studies)
        )
        found = [one.questions[0].order.second_interval[0] > 0.5 for one in reports]
        print(f"order effect of {second:g}: found in {np.mean(found):.1%} of studies")
    for name, kind in (("random clickers", Crowd(WORTH, random=True)), ("listeners", crowd)):
        sessions = simulated(study, kind, range(10 * studies), seed=0)
        left_out = np.mean([bool(why_excluded(one)) for one in sessions])
        print(f"{name} left out: {left_out:.1%} of {len(sessions)}")


if __name__ == "__main__":
    main()

"""Which sessions do not count, and why. The rules are fixed before anybody has answered."""

from __future__ import annotations

from mgsv.study.answers import ListenerSession

MOST_FAILED = 1 / 3
"""Share of the checks that a listener may fail, by hearing a difference where there is none. One
who clicks at random passes 4 of 6 in 1.7 % of all cases."""
LEAST_CHECKS = 2
LEAST_ANSWERS = 4
"""Besides the checks."""
LONGEST_SAME = 10
"""Answers besides the checks; as many, and all on the same step, are no answers."""


def why_excluded(session: ListenerSession) -> str:
    """The reason, as one line; empty where the session counts."""
    answers = session.answers.values()
    checks = [one for one in answers if one.trial.is_check]
    real = [one.preference for one in answers if not one.trial.is_check]
    asked = sum(trial.is_check for trial in session.trials)
    if len(real) < LEAST_ANSWERS:
        return f"too few answers: {len(real)}, less than {LEAST_ANSWERS}"
    if len(checks) < min(LEAST_CHECKS, asked):
        return f"too few answers: {len(checks)} of {asked} checks"
    failed = sum(one.preference != 0 for one in checks)
    if failed > MOST_FAILED * len(checks):
        return f"heard a difference in {failed} of {len(checks)} identical pairs"
    if len(real) >= LONGEST_SAME and len(set(real)) == 1:
        return f"the same answer to all {len(real)} pairs"
    return ""

"""How sure a match is: the share of matches like it that are right."""

from __future__ import annotations

import math

USUAL_SECONDS, USUAL_CORRELATION = 10.0, 0.3
"""Of a match that the weights are about as they stand."""
PLAIN, BY_SECONDS, BY_CORRELATION = 2.3, 1.57, 1.6
"""Log-odds that such a match is right, and what e times its seconds and e times its correlation
add. Wrong matches are few, so fits differ: `benchmarks/annotate_confidence.py --fit` gives 1.42,
2.50 and 2.57 on mixes of 36 tracks with 9 wrong matches, 2.85, 1.79 and 1.74 on mixes of 90 with 4.
These were chosen on earlier mixes, and are nearest to the second. Without `--fit` it prints
how right they are on other tracks."""
LEAST_SECONDS, LEAST_CORRELATION = 0.25, 0.02


def confidence(seconds: float, correlation: float, chance: float) -> float:
    """Probability that a match is right.

    Chance alone is rarely what deceives: tracks share samples, repeat themselves nearly, and under
    a loud foreground a rhythm agrees with itself a beat later. So short matches that explain little
    of the sound are less sure, however little they are by chance.

    Args:
        seconds: how long the match is.
        correlation: the mean of its sound with the track's; 1 where there is nothing else.
        chance: how many stretches at wrong places would agree this well by chance.
    """
    long = math.log(max(seconds, LEAST_SECONDS) / USUAL_SECONDS)
    clear = math.log(max(correlation, LEAST_CORRELATION) / USUAL_CORRELATION)
    log_odds = PLAIN + BY_SECONDS * long + BY_CORRELATION * clear
    return math.exp(-chance) / (1 + math.exp(-log_odds))

"""Which track for which clip of a batch: each clip good, the tracks varied."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from mgsv.assignment import assign

AGAIN = 0.5
"""What another use of a track costs, of what lies between a clip's best and its last choice."""
MORE_THAN_SHARE = 2
"""Uses of a track beyond an equal share of the clips."""
_NEVER = 1e6


def most_uses(clips: int, tracks: int) -> int:
    """How often a track may be used where `clips` are shared out among `tracks`."""
    return math.ceil(clips / max(1, tracks)) + MORE_THAN_SHARE


def choices_needed(clips: int, tracks: int) -> int:
    """How many choices each clip needs so that all get one, however alike their choices are."""
    return min(tracks, max(12, math.ceil(clips / most_uses(clips, tracks)) + 1))


def choose_tracks(
    choices: Sequence[Mapping[str, float]],
    most: int,
    *,
    beside: Sequence[tuple[str | None, str | None]] = (),
    used: Mapping[str, int] | None = None,
) -> list[str]:
    """A track for each clip: of all ways to give each one of its `choices`, the cheapest.

    choices: track → score of each clip, in the order in which the clips follow each other; at least
    one. What a choice costs is by how much it is worse than the clip's best, and a further use of
    the same track costs as well. most: uses of a track, as far as the choices allow. beside: what
    stands before and after each clip already (None: the next of those given). used: earlier uses.

    Clips that follow each other get different tracks where their choices allow it.
    """
    earlier = Counter(used or {})
    spread = _spread(choices)
    costs = [{t: (max(own.values()) - s) / spread for t, s in own.items()} for own in choices]
    column_of = [
        (track, copy)
        for track in dict.fromkeys(t for own in choices for t in own)
        for copy in range(earlier[track], min(most, earlier[track] + len(choices)))
    ]
    chosen = [max(own, key=lambda track: own[track]) for own in choices]
    if column_of:
        table = np.full((1, len(choices), len(column_of)), _NEVER)
        for column, (track, copy) in enumerate(column_of):
            for row, own in enumerate(costs):
                if track in own:
                    table[0, row, column] = own[track] + AGAIN * copy
        found = assign(table, np.array([len(column_of)]))[0]
        for row, column in enumerate(found.tolist()):
            if column >= 0 and table[0, row, column] < _NEVER:
                chosen[row] = column_of[column][0]
    return _varied(chosen, costs, most, beside or [(None, None)] * len(choices), earlier)


def _spread(choices: Sequence[Mapping[str, float]]) -> float:
    """How far scores typically lie apart, by which costs are comparable."""
    ranges = [max(own.values()) - min(own.values()) for own in choices if len(own) > 1]
    return float(np.median(ranges)) or 1.0 if ranges else 1.0


def _varied(
    chosen: list[str],
    costs: Sequence[Mapping[str, float]],
    most: int,
    beside: Sequence[tuple[str | None, str | None]],
    earlier: Counter[str],
) -> list[str]:
    """`chosen` with another track where two clips in a row have the same."""
    uses = earlier + Counter(chosen)
    for row, own in enumerate(costs):
        last, following = beside[row]
        if last is None and row:
            last = chosen[row - 1]
        if chosen[row] not in (last, following):
            continue
        after = following
        if after is None and row + 1 < len(chosen) and beside[row + 1][0] is None:
            after = chosen[row + 1]
        others = [t for t in own if t not in (last, following) and uses[t] < most]
        if others:
            uses[chosen[row]] -= 1
            ranked = sorted(others, key=lambda t: own[t] + AGAIN * uses[t])
            chosen[row] = min(ranked, key=lambda t: t == after)
            uses[chosen[row]] += 1
    return chosen

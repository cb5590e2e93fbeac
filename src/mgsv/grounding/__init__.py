"""A clip and a library in, ranked moments out; a moment in, the finished video out.

Reading order: `session` (library, method and encoders, and how they answer), `single`, `options`,
`clip`, `tracks`, `habits` (of whom the uses are by), `result`, `reasons` (the evidence in words),
`acceptance`, `output`.
"""

from mgsv.grounding.acceptance import accept
from mgsv.grounding.habits import learned_habits
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.output import (
    arrange,
    default_output,
    render,
    write_credits,
    write_timeline,
)
from mgsv.grounding.result import Grounding, RankedMoment
from mgsv.grounding.session import Session, check_weights
from mgsv.grounding.single import ground, read_query

__all__ = [
    "GroundOptions",
    "Grounding",
    "RankedMoment",
    "Session",
    "accept",
    "arrange",
    "check_weights",
    "default_output",
    "ground",
    "learned_habits",
    "read_query",
    "render",
    "write_credits",
    "write_timeline",
]

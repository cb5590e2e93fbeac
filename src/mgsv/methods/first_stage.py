"""What the parts of a first glance at a whole library are worth: weights fitted for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mgsv.config import check, from_dict, option, to_dict
from mgsv.errors import ConfigError

VERSION = "1"
RECORD = "first-stage-1"
"""Where a checkpoint's record holds a `FirstStage`."""

LEAST, MOST, SHARE = 500, 3000, 0.1
"""The second look is at this share of the library, and at so many tracks at least and at most."""


@dataclass(frozen=True)
class FirstStage:
    """How a model's final score is foreseen from what is kept of a track."""

    tower: float = option(0.9, "Final score of the network that a unit of the towers' cosine adds.")
    evidence: float = option(1.0, "Evidence of the survey that one seen at a glance is worth.")

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> FirstStage:
        """That of a checkpoint's record; the default where it has none. ConfigError for a damaged
        one.
        """
        if RECORD not in record:
            return cls()
        try:
            return from_dict(cls, record[RECORD], "first_stage.")
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ConfigError(f"the checkpoint's first stage is damaged ({error})") from None

    def as_record(self) -> dict[str, Any]:
        """What `of` reads."""
        return dict(to_dict(self))

    @property
    def fingerprint(self) -> str:
        return f"glance-{VERSION}:{self.tower:g},{self.evidence:g}"

    def looks(self, tracks: int) -> int:
        """At how many of so many tracks the second look is."""
        return min(max(LEAST, int(SHARE * tracks)), MOST, tracks)

"""Evidence in words, wherever a person reads why: as one line, or as a sentence per reason.

A method names its evidence by keys (`methods.base.Detection.evidence`); here each key gets a
sentence. A key that is not in the table is printed as it is, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mgsv.clock import clock

Evidence = Mapping[str, float]
Say = Callable[[float, Evidence], str]
"""Takes (the value, all evidence); empty where there is nothing to report."""

STARTS = {
    "start_on_border": "starts on a section border",
    "start_on_phrase": "starts with a phrase",
    "start_on_downbeat": "starts on the first beat of a bar",
    "start_on_beat": "starts on a beat",
}
"""The most specific first; only the first that holds is reported."""
HABITS = {
    "habit_start": "where the music starts",
    "habit_intro": "where the intro is over",
    "habit_chorus": "with what sounds like the chorus",
    "habit_elsewhere": "elsewhere than at these places",
}
"""Where a person usually starts, by which habit moved the moment."""
TOLD_ELSEWHERE = (
    *("start_on_border", "start_on_phrase", "start_on_downbeat", "placement", "near"),
    *("number_of_cuts", "cuts_on_beat", "placed_by_memory", "model_start", "model_end"),
    *("method_start", "method_log_odds"),
    *("words_rank", "words_of"),
    *("memory_start", "memory_probability", "memory_log_odds", "runner_up_fit"),
    *("habit_uses", "habit_start", "habit_intro", "habit_chorus", "habit_elsewhere"),
)
"""Keys that are part of another's sentence, or that only programs read."""
ON = 0.6
"""Nearness of a start to a beat from which on it is on it: 40 ms."""
INSIDE = -0.3
"""`voice` below which a start audibly interrupts something."""
WITH_MUSIC = 0.3
"""Correlation from which on motion and loudness visibly go together."""
MOVED = 0.05
"""Seconds; a smaller shift is no news."""


FITS = 0.7
"""Log-odds of cuts and motion at a place from which on they are what speaks for it: 2 to 1."""


def why(evidence: Evidence) -> str:
    """The gist in a line, as in "7 of 9 cuts on a beat, starts on a section border"; empty where
    nothing of it is known.
    """
    return ", ".join(_gist(evidence))


def reasons(evidence: Evidence) -> list[str]:
    """A sentence for each notable piece of `evidence`, the weightiest first."""
    known = [SENTENCES[key](evidence[key], evidence) for key in SENTENCES if key in evidence]
    others = [_plain(key, value) for key, value in evidence.items() if key not in SENTENCES]
    return [sentence for sentence in known + others if sentence]


def _gist(evidence: Evidence) -> Iterator[str]:
    cuts = round(evidence.get("number_of_cuts", 0))
    if cuts and "cuts_on_beat" in evidence:
        yield f"{evidence['cuts_on_beat']:.0f} of {cuts} cuts on a beat"
    if start := _started(evidence):
        yield start
    if evidence.get("voice", 0.0) < INSIDE:
        yield "starts inside a phrase"
    if evidence.get("motion", 0.0) >= WITH_MUSIC:
        yield "moves with the music"
    if evidence.get("placed_by_memory"):
        yield "where past uses put it"
    elif habit := _habit(evidence):
        yield f"you usually start {habit}"
    elif "survey_probability" in evidence:
        yield f"{evidence['survey_probability']:.0%} sure of the place"
    elif evidence.get("from_start"):
        yield "from its start"
    elif "model_start" in evidence and "shift" in evidence:
        shift = abs(evidence["shift"])
        where = f"{shift:.1f} s from" if shift >= MOVED else "at"
        yield f"{where} the model's moment"


def runner_up(evidence: Evidence) -> tuple[float, str] | None:
    """The likeliest other start on the track in seconds, and why it is one; None for no other."""
    if (start := evidence.get("runner_up_start")) is None:
        return None
    if "runner_up_fit" not in evidence:
        return start, "from its start"
    fits = evidence["runner_up_fit"] >= FITS
    return start, "where cuts fit" if fits else "the model's choice"


def _graded(*grades: tuple[float, str]) -> Say:
    """The words of the first grade whose bound the value reaches, else of the last; with it.

    Exactly 0 is what a clip gets that has nothing of the kind.
    """

    def say(value: float, _: Evidence) -> str:
        if value == 0:
            return ""
        words = next((words for bound, words in grades if value >= bound), grades[-1][1])
        return f"{words} ({value:.2f} of 1)." if value >= 0.005 else f"{words}."

    return say


def _silent(_value: float, _evidence: Evidence) -> str:
    return ""


def _plain(key: str, value: float) -> str:
    return f"{key.replace('_', ' ').capitalize()}: {value:.2f}."


def _start(_value: float, evidence: Evidence) -> str:
    return f"It {_started(evidence) or 'starts between two beats'}."


def _started(evidence: Evidence) -> str:
    return next((words for key, words in STARTS.items() if evidence.get(key, 0.0) >= ON), "")


def _voice(value: float, _: Evidence) -> str:
    return "It starts inside of what is being sung or played." if value < INSIDE else ""


def _agreement(value: float, evidence: Evidence) -> str:
    parts_told = "cuts" in evidence or "motion" in evidence
    return "" if parts_told else _AGREEMENT(value, evidence)


def _edit(value: float, _: Evidence) -> str:
    if abs(value) < 0.005:
        return "Cuts and motion say nothing for this track or against it."
    if value < 0:
        return f"Cuts and motion take {-value:.2f} from the score."
    return f"Cuts and motion add {value:.2f} to the score."


def _words(value: float, evidence: Evidence) -> str:
    rank, of = evidence["words_rank"], evidence["words_of"]
    return (
        f"It fits your words by {value:.2f} of 1, as number {rank:.0f} of the {of:.0f} tracks that "
        "the words chose; among these the picture decided."
    )


def _shift(value: float, _: Evidence) -> str:
    if abs(value) < MOVED:
        return ""
    later = "later" if value > 0 else "earlier"
    return f"Placed exactly, it starts {abs(value):.2f} s {later} than first found."


def _past_uses(value: float, evidence: Evidence) -> str:
    if value < 0.5:
        return ""
    many = "once" if round(value) == 1 else f"{value:.0f} times"
    sentence = f"This track was used {many} before"
    if "memory_start" in evidence:
        sentence += f", best from {clock(evidence['memory_start'])}"
    return sentence + "."


def _habit(evidence: Evidence) -> str:
    """Where the person usually starts, if that is why the moment is where it is."""
    if "habit_moved_from" not in evidence:
        return ""
    return next((words for key, words in HABITS.items() if key in evidence), "")


def _moved(value: float, evidence: Evidence) -> str:
    habit = _habit(evidence)
    counted = next((evidence[key] for key in HABITS if key in evidence), 0.0)
    return (
        f"You usually start {habit}: {counted:.0f} of {evidence['habit_uses']:.0f} uses; "
        f"without your habits it would start at {clock(value)}."
    )


def _of_the_method(sentence: str, evidence: Evidence) -> str:
    """`sentence` about the place that the method chose, unless memory has put it elsewhere."""
    return "" if evidence.get("placed_by_memory") else sentence


def _runner_up(_: float, evidence: Evidence) -> str:
    other = runner_up(evidence)
    return f"Another place to try: {clock(other[0])}, {other[1]}." if other else ""


_ONE_CUT = _graded(
    (0.6, "The cut falls on a strong onset of the music"),
    (0.2, "The cut falls on an onset of the music"),
    (0.0, "The cut does not fall on an onset of the music"),
)
_MANY_CUTS = _graded(
    (0.6, "The cuts fall on strong onsets of the music"),
    (0.3, "The cuts fall on onsets more often than beside them"),
    (0.1, "Some cuts fall on onsets"),
    (0.0, "The cuts do not follow the music's onsets"),
)
_AGREEMENT = _graded(
    (0.5, "At this start, cuts and motion agree well with the music"),
    (0.2, "At this start, cuts and motion agree somewhat with the music"),
    (0.0, "At this start, cuts and motion hardly agree with the music"),
)


def _cuts(value: float, evidence: Evidence) -> str:
    return (_ONE_CUT if evidence.get("number_of_cuts") == 1 else _MANY_CUTS)(value, evidence)


SENTENCES: Mapping[str, Say] = {
    "cuts": _cuts,
    "grid": _graded(
        (0.6, "Most of them fall on the first beats of bars"),
        (0.2, "They keep to the beats"),
        (0.0, "They do not keep to the beats"),
    ),
    "motion": _graded(
        (0.6, "The picture moves more where the music is louder"),
        (0.3, "Motion and loudness often rise and fall together"),
        (0.1, "Motion and loudness have a little in common"),
        (0.0, "Motion and loudness go their own ways"),
    ),
    "bursts": _graded(
        (0.4, "Sudden movements meet the music's accents"),
        (0.15, "Some sudden movements meet the music's accents"),
        (0.0, "Sudden movements do not follow the music's accents"),
    ),
    "agreement": _agreement,
    "start_on_beat": _start,
    "voice": _voice,
    "shift": _shift,
    "past_uses": _past_uses,
    "two_tower": lambda value, _: f"As wholes, clip and track match by {value:.2f} of 1.",
    "interaction": lambda value, _: f"Seen part by part, they match by {value:.2f} of 1.",
    "edit": _edit,
    "words": _words,
    "survey_probability": lambda value, evidence: _of_the_method(
        f"By cuts, motion and the model together, this place is right with a probability of "
        f"{value:.0%}.",
        evidence,
    ),
    "from_start": lambda value, evidence: (
        _of_the_method(
            "It plays from its start, as in most published videos; nothing in the clip is a better "
            "reason for another place.",
            evidence,
        )
        if value
        else ""
    ),
    "habit_moved_from": _moved,
    "runner_up_start": _runner_up,
    "first_stage": lambda value, _: f"The first stage gave the track {value:.2f}.",
    "confidence": lambda value, evidence: (
        "" if "from_start" in evidence else f"The model's confidence in the place is {value:.2f}."
    ),
    "taste": lambda value, _: (
        f"What you used before and how often adds {value:.2f} to the score." if value else ""
    ),
    "popularity": lambda value, _: f"Its popularity added {value:.2f} to the score.",
    **dict.fromkeys(TOLD_ELSEWHERE, _silent),
}

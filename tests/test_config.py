"""Configs: strict reading, documented fields, overrides with errors that name the field."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgsv.config import check, describe, from_dict, option, override, to_dict
from mgsv.errors import ConfigError
from mgsv.models.configs import ABLATIONS, Embedding, MadeConfig


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    size: int = option(3, "How large.")
    colour: Colour = option(Colour.RED, "Which colour.")

    def __post_init__(self) -> None:
        check(self)
        if self.size < 0:
            raise ConfigError(f"size={self.size} is negative")


@dataclass(frozen=True)
class Outer:
    rate: float = option(0.5, "How often.")
    on: bool = option(True, "Whether.")
    name: str = option("x", "What.")
    inner: Inner = option(Inner(), "The inside.")


sizes = st.builds(Inner, st.integers(0, 10), st.sampled_from(Colour))


@pytest.mark.slow
@given(
    st.builds(
        Outer, st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(), sizes
    )
)
def test_round_trip_through_json(config: Outer) -> None:
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("variant", sorted(ABLATIONS))
def test_ablations_round_trip(variant: str) -> None:
    config = from_dict(MadeConfig, ABLATIONS[variant])
    assert from_dict(MadeConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1}, r"rat: no such field: did you mean rate\?"),
        ({"inner": {"siz": 1}}, r"inner\.siz: no such field: did you mean size\?"),
        ({"zzz": 1}, r"zzz: no such field: known are rate, on, name, inner"),
        ({"rate": "0.5"}, r"rate='0\.5' is not a number"),
        ({"rate": True}, "rate=True is not a number"),
        ({"rate": float("nan")}, "rate=nan is not a finite number"),
        ({"on": 1}, "on=1 is not true or false"),
        ({"name": 3}, "name=3 is not text"),
        ({"inner": 3}, "inner must be a table"),
        ({"inner": {"size": 2.0}}, r"inner\.size=2\.0 is not a whole number"),
        ({"inner": {"size": True}}, r"inner\.size=True is not a whole number"),
        (
            {"inner": {"colour": "green"}},
            r"inner\.colour='green' is not a choice: choose red or blue",
        ),
        ({"inner": {"size": -1}}, "size=-1 is negative"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_a_field_without_default_must_be_given() -> None:
    @dataclass(frozen=True)
    class Needs:
        size: int

    with pytest.raises(ConfigError, match=r"model.size is missing"):
        from_dict(Needs, {}, "model.")


def test_overrides() -> None:
    given_ = ["rate=2", "on=False", "name=a=b", "inner.size=7", "inner.colour=blue"]
    config = override(Outer(), given_)
    assert config == Outer(2.0, False, "a=b", Inner(7, Colour.BLUE))
    assert type(config.rate) is float
    assert override(config, []) == config


def test_overrides_that_need_each_other() -> None:
    with pytest.raises(ConfigError, match="hidden_dim=30"):
        override(MadeConfig(), ["hidden_dim=30"])
    assert override(MadeConfig(), ["hidden_dim=30", "heads=5"]).heads == 5


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("rate", "`set` rate: no value: write `set` name=value"),
        ("rat=1", r"`set` rat: no such field: did you mean rate\?"),
        ("inner.siz=1", r"`set` inner\.siz: no such field"),
        ("rate.x=1", r"`set` rate\.x: rate has no fields"),
        ("inner=1", "`set` inner is a group of fields"),
        ("rate=much", "`set` rate=much is not a number"),
        ("on=yes", "`set` on=yes is not true or false"),
        ("inner.size=1.5", r"`set` inner\.size=1\.5 is not a whole number"),
        ("inner.colour=green", "`set` inner.colour='green' is not a choice: choose red or blue"),
    ],
)
def test_wrong_overrides_name_the_flag(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Outer(), [assignment])


def test_every_field_is_documented() -> None:
    listed = {name: (default, doc) for name, default, doc in describe(MadeConfig)}
    assert listed.keys() == {f.name for f in fields(MadeConfig)}
    assert all(doc.endswith(".") for _, doc in listed.values())
    assert listed["embedding"][0] == "self-attention"
    nested = [name for name, _, _ in describe(Outer)]
    assert nested == ["rate", "on", "name", "inner.size", "inner.colour"]
    assert {name: now for name, now, _ in describe(Outer(inner=Inner(9)))}["inner.size"] == "9"


def test_constructing_reads_choices_by_name() -> None:
    assert MadeConfig(embedding="mlp").embedding is Embedding.MLP  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="heads='8' is not a whole number"):
        MadeConfig(heads="8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"heads": 7}, "hidden_dim=256 must be even and a multiple of heads=7"),
        ({"dropout": 1.0}, "dropout"),
        ({"pool_dropout": -0.1}, "pool_dropout"),
        ({"encoder_layers": -1}, "encoder_layers"),
        ({"decoder_layers": 0}, "decoder_layers"),
        ({"queries": 0}, "queries"),
        ({"temperature": 0.0}, "temperature"),
        ({"alignment_temperature": 0.0}, "alignment_temperature"),
        ({"canvas_seconds": -1.0}, "canvas_seconds"),
        ({"span_weight": -1.0}, "span_weight"),
        ({"matching": "dual", "moment_query": "pooled"}, "needs X-Pool"),
    ],
)
def test_made_refuses_what_makes_no_sense(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        from_dict(MadeConfig, changes)

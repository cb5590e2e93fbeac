"""Damaged files stop neither a decoder nor `mgsv`: a short run of `benchmarks/fuzz.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import fuzz
import pytest
from fuzz_containers import Node, parsed
from fuzz_mutations import mutated
from fuzz_specimens import Specimen, specimens


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Specimen]:
    return specimens(tmp_path_factory.mktemp("specimens"))


def nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node.body, list):
        for child in node.body:
            yield from nodes(child)


@pytest.mark.slow
def test_files_are_taken_apart_and_put_together(sources: list[Specimen]) -> None:
    for source in sources:
        root = parsed(source.data)
        assert bytes(root) == source.data, source.format
        assert len(list(nodes(root))) > 10, source.format
        for node in nodes(root):
            node.claim()  # the length that it has, which is what it said
        assert bytes(root) == source.data, source.format


def test_the_same_seed_makes_the_same_variant(sources: list[Specimen]) -> None:
    for source, donor in itertools.pairwise(sources):
        one, other = (mutated(source.data, donor.data, "3") for _ in range(2))
        assert one == other
        assert one[0] != source.data and one[1]
        assert mutated(source.data, donor.data, "4")[0] != one[0]


@pytest.mark.slow
@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.thorough)])
def test_damaged_files(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    tally = fuzz.fuzz(fuzz.Plan(count, seed=12, encoder="tiny"))
    fuzz.print_table(tally)
    table = capsys.readouterr().out
    assert tally.passed(), table
    assert len({name for name, _ in tally.results}) == count
    assert len(tally.results) == count * len(fuzz.STAGES)
    # They are damaged neither beyond recognition nor too little to matter.
    well = sum(result.outcome == "ok" for _, result in tally.results)
    assert 0.5 < well / len(tally.results) < 0.9

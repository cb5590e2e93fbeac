"""The detectors give what their authors' code gives, with its faults and without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from detector_support import DETECTORS
from mgsv.errors import ConfigError
from mgsv.models.authors import load_detector, replay, replay_detector
from mgsv.models.authors.detectors import FAMILIES
from mgsv.models.detection import SpanDetector
from mgsv.models.eatr import EaTR
from mgsv.models.events import Events
from mgsv.models.registry import about, build
from model_support import Golden
from tolerances import NETWORK, RECORDED_GRADIENT, SMALL_GRADIENT

COUNTS = {
    "moment_detr": 4_310_532,
    "qd_detr": 6_941_473,
    "qd_detr_plus": 5_361_951,
    "tr_detr": 7_796_257,
    "tr_detr_plus": 6_216_735,
    "eatr": 8_460_039,
    "uvcom": 14_392_655,
    "uvcom_plus": 12_804_425,
}
"""The authors' modules, without the saliency heads that are dropped, counted by themselves."""


def golden_of(name: str) -> Golden:
    """Of UVCOM, the one whose wide MLPs are 64 wide."""
    return Golden("uvcom_c64" if name == "uvcom" else name)


def with_official_events(
    model: SpanDetector, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have EaTR learn the authors' pseudo-events, which they pair across rows."""
    if not isinstance(model, EaTR):
        return
    rows = [golden.out[f"pseudo_event_spans.{row}"] for row in range(3)]
    counts = torch.tensor([len(row) for row in rows])
    assert not torch.equal(rows[1], golden.corrected["pseudo_event_spans.1"])
    valid = golden.inputs["src_vid_mask"].sum(dim=1)[:, None, None]
    spans = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) * valid
    monkeypatch.setattr(model, "pseudo_events", lambda *_: Events(spans, counts))


def switches(golden: Golden) -> dict[str, Any]:
    """The authors' options, their mask included where the family has it."""
    has_mask = any("t2v_encoder" in key for key in golden.weights)
    return {**golden.config["config"], **({"authors_mask": True} if has_mask else {})}


@pytest.mark.parametrize("name", FAMILIES)
def test_corrected_outputs_equal_the_authors(name: str) -> None:
    golden = golden_of(name)
    ours = replay(name, golden.config, golden.weights, golden.inputs)
    compared = golden.corrected | {
        f"loss.{n}": value for n, value in golden.corrected_losses.items()
    }
    if "pred_spans" not in compared:
        compared = golden.out | compared
    assert {"pred_spans", "pred_logits"} <= compared.keys()
    for key in ours.keys() & compared.keys():
        torch.testing.assert_close(ours[key], compared[key], rtol=0, atol=NETWORK, msg=key)


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_losses_and_gradients_equal_the_authors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the authors' code is, its cross-modal mask and its pairing of events included."""
    golden = golden_of(name)
    model = load_detector(name, switches(golden), golden.weights)
    with_official_events(model, golden, monkeypatch)
    ours = replay_detector(model, name, golden.inputs)
    theirs = golden.out | {f"loss.{key}": value for key, value in golden.losses.items()}
    kept = {
        key for key in theirs if not key.startswith(("saliency", "sim_", "src_", "loss.match_idx"))
    }
    assert kept <= ours.keys()
    for key in kept:
        tolerance = 100 * NETWORK if "class_error" in key else NETWORK  # per cent
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=tolerance, msg=key)
    ours["loss.weighted_total"].backward()
    norms = {
        key: 0.0 if p.grad is None else float(p.grad.norm()) for key, p in model.named_parameters()
    }
    expected = {
        FAMILIES[name].our_name(key): value or 0.0
        for key, value in golden.config["grad_norms_of_weighted_total"].items()
    }
    expected.pop("", None)
    assert expected.keys() == norms.keys()
    noise = SMALL_GRADIENT * max(expected.values())
    for key, value in expected.items():
        assert norms[key] == pytest.approx(value, rel=RECORDED_GRADIENT, abs=noise), key


@pytest.mark.parametrize("name", ["qd_detr", "tr_detr", "uvcom"])
def test_the_authors_mask_changes_the_answer(name: str) -> None:
    golden = golden_of(name)
    ours = replay(name, golden.config, golden.weights, golden.inputs)
    difference = (ours["pred_logits"] - golden.out["pred_logits"]).detach().abs().max()
    assert float(difference) > 100 * NETWORK


@pytest.mark.parametrize("name", DETECTORS)
def test_parameters_are_as_many_as_the_paper_counts(name: str) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in build(name).parameters())
    assert count == pytest.approx(about(name).parameters * 1e6, rel=0.01)  # two digits
    assert count == COUNTS.get(name, count)
    docstring = __import__(f"mgsv.models.{name.removesuffix('_plus')}", fromlist=["x"]).__doc__
    assert f"{count:,}" in docstring


def test_weights_of_another_system_are_refused() -> None:
    golden = Golden("moment_detr")
    with pytest.raises(ConfigError, match="weights are missing"):
        load_detector("qd_detr", golden.config["config"], golden.weights)
    with pytest.raises(ConfigError, match="not weights of tr_detr"):
        load_detector("tr_detr", {}, {"x": torch.zeros(2)})
    with pytest.raises(ConfigError, match="no replay of model 'tr'"):
        replay("tr", {}, {}, {})

"""A model's card is written beside its weights and says the same when it is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.runs.model_card import Evaluation, ModelCard, data_source, file_hash

NETWORK = {"_target_": "pkdr_monai.networks.PatchVNet", "in_channels": 1}


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    evaluation = Evaluation.of_scores([[0.5, 0.8, 0.1], [0.7, 0.9, 0.3]], {"name": "test data"}, "test")
    return ModelCard("student", ("t2",), NETWORK, (1.0, 1.0, 1.0), (128, 128, 96), evaluation=evaluation).with_weights(
        weights
    )


def test_what_is_written_is_read(card: ModelCard) -> None:
    path = card.write()
    assert path.name == "model.json"
    read = ModelCard.read(path)
    assert read == card
    assert read.weights == card.weights
    assert read.sha256 == file_hash(card.weights)
    assert json.loads(path.read_text())["note"] == "Research software, not a medical device."


def test_an_evaluation_is_mean_and_standard_deviation_by_region(card: ModelCard) -> None:
    assert card.evaluation.mean == pytest.approx({"tc": 0.6, "wt": 0.85, "et": 0.2})
    assert card.evaluation.deviation["tc"] == pytest.approx(0.02**0.5)
    assert card.expected_dice == pytest.approx(0.55)
    assert Evaluation.of_scores([[0.5, 0.8, 0.1]], {}, "test").deviation == {"tc": None, "wt": None, "et": None}


def test_a_model_of_synthetic_cases_says_so(card: ModelCard) -> None:
    phantom = data_source({"training": [{"case": "Phantom18_0001_1"}], "test": []})
    assert replace(card, training_data=phantom).synthetic
    assert not replace(card, training_data=data_source({"training": [{"case": "Brats18_2013_11_1"}]})).synthetic
    assert not card.synthetic  # unknown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modalities": ["t3"]}, "unknown modality 't3'"),
        ({"label_scheme": "none"}, "unknown label_scheme"),
        ({"evaluation": {"cases": 3}}, "is not a valid model card"),
        ({"spacing": "wide"}, "is not a valid model card"),
    ],
)
def test_a_damaged_card_is_one_sentence(card: ModelCard, change: dict[str, object], sentence: str) -> None:
    path = card.write()
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=sentence) as caught:
        ModelCard.read(path)
    assert str(path) in str(caught.value)


def test_other_json_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match="A training writes it"):
        ModelCard.read(tmp_path / "model.json")


def test_a_card_without_weights_has_no_place(card: ModelCard) -> None:
    with pytest.raises(ValueError, match="with_weights first"):
        replace(card, weights=None).write()


@pytest.mark.parametrize(
    "hostile",
    [
        {"in_channels": "$__import__('os').system('true')"},
        {"in_channels": "@device"},
        {"in_channels": "%train.json#device"},
        {"patch_size": ["$1"]},
        {"network": {"_target_": "pkdr_monai.networks.PatchVNet", "in_channels": "$1"}},
        {"_mode_": "debug"},
        {"_requires_": "$1"},
    ],
)
def test_a_network_that_a_config_would_run_as_code_is_refused(card: ModelCard, hostile: dict) -> None:
    path = replace(card, network={**NETWORK, **hostile}).write()
    with pytest.raises(InputError, match="it was refused"):
        ModelCard.read(path)


@pytest.mark.parametrize("network", [None, [], {}, {"_target_": 3}])
def test_a_network_without_a_class_is_refused(card: ModelCard, network: object) -> None:
    path = card.write()
    path.write_text(json.dumps({**json.loads(path.read_text()), "network": network}))
    with pytest.raises(InputError, match=r"expected a network's class"):
        ModelCard.read(path)


@pytest.mark.parametrize("name", ["$exit()", "", "@device", "a\nb", 3])
def test_a_name_that_a_config_would_run_as_code_is_refused(card: ModelCard, name: object) -> None:
    path = card.write()
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": name}))
    with pytest.raises(InputError, match=r"model\.json"):
        ModelCard.read(path)


ANY_SUBSET = {"_target_": "pkdr_monai.networks.AnySubsetVNet", "available": ["t1", "t1ce", "t2", "flair"]}
ANY_SUBSET |= {"modalities": ["t1", "t1ce", "t2", "flair"]}


def test_evaluations_of_subsets_are_kept_by_the_subset(tmp_path: Path) -> None:
    card = ModelCard("any", MODALITIES, ANY_SUBSET, (2, 2, 2), (16, 16, 16))
    for subset, dice in {("flair",): 0.5, ("t1", "flair"): 0.6, MODALITIES: 0.7}.items():
        card = card.evaluated(Evaluation.of_scores([[dice] * 3], {}, "test"), subset)
    (tmp_path / "model.pt").write_bytes(b"weights")
    card.with_weights(tmp_path / "model.pt").write()
    read = ModelCard.read(tmp_path / "model.json")
    assert read.seeing(["flair", "t1"]).expected_dice == pytest.approx(0.6)
    assert read.expected_dice == pytest.approx(0.7)
    assert read.seeing(["t2"]).evaluation is None
    assert read.seeing(["t2"]).same_model(read)


def test_a_network_that_needs_all_its_modalities_is_not_given_fewer() -> None:
    card = ModelCard("teacher", MODALITIES, {"_target_": "x"}, (2, 2, 2), (16, 16, 16))
    with pytest.raises(InputError, match="segments from t1, t1ce, t2, flair, not t2"):
        card.seeing(["t2"])


@pytest.mark.parametrize(("synthetic", "demonstration"), [(True, True), (False, False)])
def test_synthetic_weights_are_no_demonstration_once_patients_evaluated_them(
    synthetic: bool, demonstration: bool
) -> None:
    card = ModelCard("any", MODALITIES, ANY_SUBSET, (2, 2, 2), (16, 16, 16), training_data={"synthetic": True})
    assert card.demonstration
    evaluation = Evaluation.of_scores([[0.5] * 3], {"synthetic": synthetic}, "test")
    assert card.evaluated(evaluation, ["flair"]).demonstration is demonstration

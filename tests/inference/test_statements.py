"""What is shown is right, and the command that is printed is one that runs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pkdr_monai.inference.predictor import Settings
from pkdr_monai.inference.statements import bundle_command, describe_model, warnings_about
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import AnySubsetVNet, PatchVNet, describe_network
from pkdr_monai.regularizers import BoundaryVNet
from pkdr_monai.runs.model_card import Evaluation, ModelCard

ROOT = Path(__file__).resolve().parents[2]
CARD = ModelCard(
    "student", ("t2",), describe_network(PatchVNet(1)), (1.0, 1.0, 1.0), (128, 128, 96), weights=Path("a/model.pt")
)
SCORES = [[0.6, 0.8, 0.49], [0.6, 0.9, 0.49]]
EVALUATED = replace(CARD, evaluation=Evaluation.of_scores(SCORES, {"name": "BraTS"}, "test"), weights=CARD.weights)


def test_a_region_below_half_is_not_to_be_trusted_and_one_above_is() -> None:
    (warning,) = warnings_about(EVALUATED)
    assert warning.startswith("do not trust ET (enhancing tumour) of student, which sees t2")
    assert "0.49, is below 0.5" in warning


def test_an_unevaluated_a_synthetic_and_a_rehearsed_model_say_so() -> None:
    assert warnings_about(CARD) == ["student was never evaluated: nothing is known about its quality."]
    seen = replace(EVALUATED.evaluation, data={"name": "demo", "synthetic": True})
    synthetic = replace(EVALUATED, training_data={"synthetic": True}, evaluation=seen)
    assert "demonstration on synthetic cases, not for patients" in warnings_about(synthetic)[0]
    rehearsed = replace(EVALUATED, evaluation=replace(EVALUATED.evaluation, section="training"))
    assert "evaluated on cases that it learnt from" in warnings_about(rehearsed)[0]


def test_weights_that_saw_no_patient_but_were_measured_on_some_say_both() -> None:
    card = replace(EVALUATED, training_data={"synthetic": True})
    lines = describe_model(card)
    assert "trained on no patient" in lines[1]
    assert "2 test cases of BraTS" in lines[2]
    assert "in a head without one" in warnings_about(card)[0]
    assert not any("demonstration" in warning for warning in warnings_about(card))


def test_expected_dice_comes_with_its_spread_and_its_source() -> None:
    first, second = describe_model(EVALUATED)
    assert first == f"model: student, version {CARD.version}, sha256 None, sees t2 (a/model.pt)"
    assert "2 test cases of BraTS (mean ± standard deviation): WT 0.85 ± 0.07, TC 0.60 ± 0.00, ET" in second
    assert len(describe_model(CARD)) == 1


@pytest.mark.parametrize(
    ("card", "settings", "named"),
    [
        (CARD, Settings(), None),
        (
            replace(CARD, network=describe_network(PatchVNet(1, init_filters=4, patch_size=8))),
            Settings(fast=True),
            None,
        ),
        (
            replace(
                CARD, modalities=MODALITIES, network=describe_network(PatchVNet(4, init_filters=2, patch_head=True))
            ),
            Settings(blend="gaussian", window_overlap=0.25, label_scheme="msd"),
            {modality: f"{modality}.nii.gz" for modality in MODALITIES},
        ),
        (replace(CARD, network=describe_network(BoundaryVNet(1, init_filters=2))), Settings(), {"t2": "a b.nii.gz"}),
        (replace(CARD, network=describe_network(AnySubsetVNet("t2", init_filters=2))), Settings(), None),
    ],
    ids=["plain", "narrow", "teacher", "boundary", "any subset"],
)
def test_the_command_builds_the_same_network_on_the_same_files(
    card: ModelCard, settings: Settings, named: dict[str, str] | None
) -> None:
    words = shlex.split(bundle_command(card, [] if named else ["scans"], named, settings, "out"))
    assert words[:6] == ["python", "-m", "monai.bundle", "run", "evaluating", "--config_file"]
    assert words[6] == "bundle/configs/inference.json"
    parser = ConfigParser()
    parser.read_config(ROOT / words[6])
    for option, value in zip(words[7::2], words[8::2], strict=True):
        key = option.removeprefix("--")
        parser[key] = value if key in ("modality", "dataset_dir", "checkpoint", "output_dir") else _literal(value)
    assert describe_network(parser.get_parsed_content("network_def")) == card.network
    assert parser.get_parsed_content("modalities") == card.modalities
    inferer = parser.get_parsed_content("inferer")
    assert str(inferer.mode) == settings.blend
    assert list(inferer.roi_size) == ([-1, -1, -1] if settings.fast else list(card.roi_size))
    assert parser["checkpoint"] == "a/model.pt"
    if named:
        assert parser.get_parsed_content("datalist") == [[named[modality] for modality in card.modalities]]


def test_the_command_runs_in_other_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(bundle_command(CARD, ["scans"], None, Settings(), "out"))
    assert Path(words[6]) == ROOT / "bundle/configs/inference.json"


def test_the_command_names_what_a_person_chose_or_insisted_on() -> None:
    chosen = bundle_command(CARD, ["scans"], None, Settings(geometry="sform", force=True), "out")
    assert "--geometry sform --force True" in chosen
    plain = bundle_command(CARD, ["scans"], None, Settings(), "out")
    assert "--geometry" not in plain
    assert "--force" not in plain


def _literal(value: str) -> object:
    """Read a value as fire does."""
    from fire.parser import DefaultParseValue

    return DefaultParseValue(value)

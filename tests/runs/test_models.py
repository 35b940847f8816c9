# ruff: noqa: F811 (pytest hands fixtures over by their names)
"""Models are found by their cards, and the right one is chosen for what is at hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.weights import ship_model
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.runs.model_card import Evaluation, ModelCard
from pkdr_monai.runs.models import (
    choose_models,
    default_folders,
    find_models,
    read_model,
    replace_model,
    settings_beside,
    weights_folder,
)
from tests.inference.conftest import cohort, make_model, runs, scan  # noqa: F401


def card(name: str, *modalities: str, dice: float | None = None) -> ModelCard:
    evaluation = None if dice is None else Evaluation.of_scores([[dice] * 3], {}, "test")
    return ModelCard(name, modalities, {}, (1.0, 1.0, 1.0), (16, 16, 16), evaluation=evaluation)


T2, FLAIR, PAIR = card("t2", "t2", dice=0.7), card("flair", "flair", dice=0.8), card("pair", "t2", "flair", dice=0.75)
TEACHER, UNKNOWN = card("teacher", *MODALITIES, dice=0.6), card("a_new", "flair")


@pytest.mark.parametrize(
    ("at_hand", "use", "names"),
    [
        (("t2",), "best", ["t2"]),
        (("t2", "flair"), "best", ["pair"]),  # sees all there is
        (("t1", "t2", "flair"), "best", ["flair"]),  # none does: the better evaluation
        (("t1", "flair"), "best", ["flair"]),  # an evaluation beats none
        (MODALITIES, "best", ["teacher"]),
        (MODALITIES, "all", ["flair", "pair", "t2"]),  # one for each set, without the teacher
        (("flair",), "all", ["flair"]),
    ],
)
def test_the_right_model_for_what_is_at_hand(at_hand: tuple[str, ...], use: str, names: list[str]) -> None:
    cards = [UNKNOWN, TEACHER, T2, PAIR, FLAIR]
    assert [chosen.name for chosen in choose_models(cards, at_hand, use)] == names


def test_all_students_without_a_student_is_the_teacher() -> None:
    assert choose_models([TEACHER], MODALITIES, "all") == [TEACHER]


def test_no_model_for_the_modality_names_those_that_there_are() -> None:
    with pytest.raises(
        InputError, match=r"no model segments from t1 alone: found t2 \(sees t2\), flair \(sees flair\)"
    ):
        choose_models([T2, FLAIR], ["t1"])


def test_models_are_found_below_runs_and_in_a_bundle(runs: Path, tmp_path: Path) -> None:
    assert [found.name for found in find_models([runs])] == ["pkdr_flair", "pkdr_t2", "teacher"]
    shutil.copytree(runs / "pkdr_t2" / "models", tmp_path / "bundle" / "models")
    assert [found.name for found in find_models([tmp_path, tmp_path / "bundle"])] == ["pkdr_t2"]
    assert find_models([runs])[0].weights == runs / "pkdr_flair" / "models" / "model.pt"


def test_models_are_looked_for_in_the_bundle_and_in_the_runs_here(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folders()[0].parts[-2:] == ("bundle", "models")
    monkeypatch.setattr("pkdr_monai.runs.models._shipped_folders", lambda: [tmp_path / "bundle" / "models"])
    with pytest.raises(InputError, match="make demo-training"):
        find_models()
    shutil.copytree(runs, tmp_path / "demo" / "runs")
    assert len(find_models()) == 3
    assert weights_folder(tmp_path / "nowhere") == str(tmp_path / "nowhere" / "models")
    shutil.copytree(runs / "pkdr_t2" / "models", tmp_path / "bundle" / "models")
    assert weights_folder(tmp_path / "nowhere") == str(tmp_path / "bundle" / "models")
    assert weights_folder(runs / "pkdr_flair") == str(runs / "pkdr_flair" / "models")


def test_one_model_by_its_weights_its_card_or_its_run(runs: Path) -> None:
    run = runs / "pkdr_t2"
    expected = ModelCard.read(run / "models" / "model.json")
    for path in (run, run / "models", run / "models" / "model.pt", run / "models" / "model.json"):
        assert read_model(path) == expected
    with pytest.raises(InputError, match="holds 3 models"):
        read_model(runs)


def test_weights_without_a_card_are_refused(runs: Path, tmp_path: Path) -> None:
    weights = shutil.copy(runs / "pkdr_t2" / "models" / "model.pt", tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"has no model\.json beside it"):
        read_model(weights)
    with pytest.raises(InputError, match=r"has no model\.json beside it"):
        find_models([tmp_path])
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_model(tmp_path / "absent.pt")


def test_equal_models_are_taken_by_name() -> None:
    twin = replace(FLAIR, name="b_flair")
    assert choose_models([twin, FLAIR], ["flair"])[0].name == "b_flair"


def test_a_training_takes_the_place_of_the_model_that_is_served(runs: Path, tmp_path: Path) -> None:
    replace_model(tmp_path, runs / "pkdr_t2" / "models")
    replace_model(tmp_path, runs / "pkdr_flair" / "models")
    assert read_model(tmp_path / "model.pt").modalities == ("flair",)
    assert (tmp_path / "model.pt").read_bytes() == (runs / "pkdr_flair" / "models" / "model.pt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pt"]


def test_a_training_without_a_card_replaces_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        replace_model(tmp_path / "served", tmp_path / "trained")
    assert not (tmp_path / "served").exists()


def _any_subset(name: str, synthetic: bool = False, **dice: float) -> ModelCard:
    network = {"_target_": "x", "available": list(MODALITIES), "modalities": list(MODALITIES)}
    found = ModelCard(name, MODALITIES, network, (1.0, 1.0, 1.0), (16, 16, 16))
    for subset, value in dice.items():
        evaluation = Evaluation.of_scores([[value] * 3], {"synthetic": synthetic}, "test")
        found = found.evaluated(evaluation, subset.split("_"))
    return found


def test_a_network_for_any_subset_is_given_all_that_is_at_hand() -> None:
    (chosen,) = choose_models([_any_subset("any", t2_flair=0.6)], ["t2", "flair"])
    assert (chosen.modalities, chosen.network["available"]) == (("t2", "flair"), ["t2", "flair"])
    assert chosen.expected_dice == pytest.approx(0.6)


@pytest.mark.parametrize(("dedicated", "name"), [(0.7, "flair"), (0.5, "any")])
def test_a_dedicated_student_is_preferred_where_its_evaluation_is_better(dedicated: float, name: str) -> None:
    cards = [_any_subset("any", flair=0.6), card("flair", "flair", dice=dedicated)]
    assert choose_models(cards, ["flair"])[0].name == name


def test_an_evaluation_on_patients_goes_before_a_better_one_on_synthetic_cases() -> None:
    demonstration = _any_subset("demo", synthetic=True, flair=0.9)
    assert choose_models([demonstration, _any_subset("real", flair=0.6)], ["flair"])[0].name == "real"


def test_settings_are_those_of_the_card_beside_a_checkpoint(runs: Path, tmp_path: Path) -> None:
    assert settings_beside(runs / "pkdr_t2" / "models" / "model.pt")["spacing"] == [6.0, 6.0, 6.0]
    assert settings_beside(tmp_path / "model.pt")["roi_size"] == [128, 128, 96]


def test_what_is_shipped_is_the_last_network_in_half_precision(runs: Path, tmp_path: Path) -> None:
    trained, folder = tmp_path / "trained", tmp_path / "models"
    shutil.copytree(runs / "pkdr_t2" / "models", trained)
    folder.mkdir()
    with pytest.raises(InputError, match="no checkpoint"):
        ship_model(folder, trained)
    shutil.copy(trained / "model.pt", trained / "model_last.pt")
    card = ship_model(folder, trained)
    assert ModelCard.read(folder / "model.json") == card
    assert card.evaluation is None
    state, before = (torch.load(path / "model.pt", weights_only=True) for path in (folder, trained))
    assert all(value.dtype == torch.float16 for value in state.values() if value.is_floating_point())
    torch.testing.assert_close(state["output.weight"].float(), before["output.weight"], rtol=1e-3, atol=1e-3)
    tripled = {name: value * 3 if value.is_floating_point() else value for name, value in before.items()}
    torch.save(tripled, tmp_path / "first.pt")
    ship_model(folder, trained, tmp_path / "first.pt")
    mean = torch.load(folder / "model.pt", weights_only=True)["output.weight"].float()
    torch.testing.assert_close(mean, 2 * before["output.weight"], rtol=1e-3, atol=1e-3)

"""From volumes to a segmentation through the bundle, and what must hold on the way."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import PatchVNet, build_network, load_weights
from pkdr_monai.regions import REGIONS, label_to_regions
from pkdr_monai.runs.model_card import ModelCard, file_hash
from pkdr_monai.scoring import score_label_maps

from .conftest import CONFIGS, TRAIN, UNIMODAL, Bundle


def _weights(run: Path, name: str = "model_last.pt") -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / name, weights_only=True)


def _history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _refusal(error: BaseException | None) -> BaseException | None:
    """Return the sentence within what MONAI's parser raises."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def test_a_run_leaves_weights_history_picture_and_record(student: Path) -> None:
    present = {str(path.relative_to(student)) for path in student.rglob("*") if path.is_file()}
    expected = {"models/model.pt", "models/model_last.pt", "models/checkpoint.pt", "history.csv", "progress.png"}
    assert expected | {"run.json", "models/model.json"} <= present
    assert any(name.startswith("tensorboard/") for name in present)
    assert json.loads((student / "run.json").read_text())["status"] == "finished"


def test_every_part_of_the_loss_reaches_the_history(student: Path, teacher: Path) -> None:
    parts = ["segmentation", "patch_selection", "pixel_kd", "patch_kd", "patch_contrastive"]
    row = {name: float(value) for name, value in _history(student)[0].items()}
    weighted = row["segmentation"] + 0.7 * row["patch_selection"] + 0.5 * sum(row[name] for name in parts[2:])
    assert row["loss"] == pytest.approx(weighted, rel=1e-4)
    assert {"segmentation", "patch_selection"} <= set(_history(teacher)[0])
    assert not {"pixel_kd", "patch_kd", "patch_contrastive"} & set(_history(teacher)[0])


def test_a_students_weights_are_the_deployable_network_alone(student: Path) -> None:
    assert set(_weights(student, "model.pt")) == set(PatchVNet(1, init_filters=2).state_dict())


def test_a_teachers_weights_bring_its_patch_head(teacher: Path) -> None:
    assert set(_weights(teacher, "model.pt")) == set(PatchVNet(4, init_filters=2, patch_head=True).state_dict())


def test_one_seed_gives_one_result(student: Path, train_student: Callable[..., Path], tmp_path: Path) -> None:
    again, other = train_student(tmp_path / "again"), train_student(tmp_path / "other", seed=1)
    torch.testing.assert_close(_weights(again), _weights(student), rtol=0, atol=0)
    assert not torch.equal(_weights(other)["stem.0.weight"], _weights(student)["stem.0.weight"])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_is_bit_identical(
    train_student: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    options = {"max_epochs": 3, "num_workers": num_workers}
    whole = train_student(tmp_path / "whole", **options)
    steps: list[int] = []
    forward = PatchVNet.features

    def die_in_the_second_epoch(self: PatchVNet, x: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.in_channels == 1:
            steps.append(1)
            if len(steps) == 4:  # the last of the second epoch
                raise KeyboardInterrupt
        return forward(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(PatchVNet, "features", die_in_the_second_epoch)
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            train_student(tmp_path / "broken", **options)
    assert len(_history(tmp_path / "broken")) == 1
    broken = train_student(tmp_path / "broken", resume=True, **options)
    for name in ("model.pt", "model_last.pt"):
        torch.testing.assert_close(_weights(broken, name), _weights(whole, name), rtol=0, atol=0)
    rows = [[{**row, "seconds": ""} for row in _history(run)] for run in (broken, whole)]
    assert rows[0] == rows[1]


def test_a_subset_of_modalities_is_a_legal_student(train_student: Callable[..., Path], tmp_path: Path) -> None:
    run = train_student(tmp_path / "subset", modality=["flair", "t1"], max_epochs=1)
    assert _weights(run)["stem.0.weight"].shape[1] == 2


def test_the_unimodal_baseline_is_only_a_config(bundle: Bundle, tmp_path: Path) -> None:
    run = bundle.train(tmp_path / "unimodal", UNIMODAL, max_epochs=1)
    assert set(_history(run)[0]) >= {"loss", "segmentation"}
    assert "patch_selection" not in _history(run)[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"teacher_checkpoint": "nowhere/model.pt"}, r"no checkpoint at nowhere.model\.pt"),
        ({"init_filters": 4}, r"stem\.0\.weight is \(2, 4, 3, 3, 3\) there and \(4, 4, 3, 3, 3\) here"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_with_a_sentence(
    bundle: Bundle, teacher: Path, tmp_path: Path, overrides: dict[str, object], message: str
) -> None:
    options = {"teacher_checkpoint": teacher / "models" / "model.pt", **overrides}
    with pytest.raises(RuntimeError) as failure:
        bundle.train(tmp_path / "student", **options)
    assert re.search(message, str(_refusal(failure.value)))


def test_a_folder_in_use_is_refused_before_a_case_is_read(
    bundle: Bundle, student: Path, teacher: Path, tmp_path: Path
) -> None:
    options = {"teacher_checkpoint": teacher / "models" / "model.pt", "dataset_dir": tmp_path / "nowhere"}
    with pytest.raises(RuntimeError) as failure:
        bundle.train(student, **options)
    assert re.search(r"already holds checkpoint\.pt of another run", str(_refusal(failure.value)))


def test_evaluation_scores_each_test_case(bundle: Bundle, student: Path) -> None:
    options = bundle.options(output_dir=student)
    bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **options)
    with (student / "evaluation" / "metrics.csv").open() as file:
        metrics = {row[0]: float(row[1]) for row in csv.reader(file)}
    dice = {"val_mean_dice", "val_mean_dice_tc", "val_mean_dice_wt", "val_mean_dice_et"}
    assert set(metrics) == {*dice, "val_hd95"}
    for metric in ("val_mean_dice", "val_hd95"):
        cases = (student / "evaluation" / f"{metric}_raw.csv").read_text().splitlines()[1:]
        assert len(cases) == len(json.loads(bundle.data_list.read_text())["test"])


def test_saved_predictions_are_those_that_were_scored(bundle: Bundle, student: Path, tmp_path: Path) -> None:
    options = {**bundle.options(output_dir=student), "evaluation_dir": str(tmp_path / "evaluation"), "save_pred": True}
    bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **options)
    entries = json.loads(bundle.data_list.read_text())["test"]
    with (tmp_path / "evaluation" / "val_mean_dice_raw.csv").open() as file:
        scored = {Path(row["filename"]).parent.name: row for row in csv.DictReader(file)}
    for entry in entries:
        case = entry["case"]
        written = nibabel.load(tmp_path / "evaluation" / "predictions" / case / f"{case}_seg.nii.gz")
        label = nibabel.load(bundle.cohort / entry["label"])
        np.testing.assert_allclose(written.affine, label.affine)
        predicted, truth = (
            label_to_regions(torch.tensor(np.asarray(image.dataobj).astype(np.uint8)[None])).numpy() > 0
            for image in (written, label)
        )
        for channel, column in enumerate(("class0", "class1", "class2")):
            overlap = 2 * (predicted[channel] & truth[channel]).sum()
            total = predicted[channel].sum() + truth[channel].sum()
            assert float(scored[case][column]) == pytest.approx(overlap / total if total else 1.0, abs=1e-4)


@pytest.mark.parametrize("place", ["", "predictions", ".."])
def test_predictions_are_never_written_among_the_users_data(bundle: Bundle, student: Path, place: str) -> None:
    options = {**bundle.options(output_dir=student), "prediction_dir": str(bundle.cohort / place), "save_pred": True}
    before = sorted(bundle.cohort.rglob("*"))
    with pytest.raises(RuntimeError) as failure:
        bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **options)
    assert "choose another --prediction_dir" in str(failure.value.__cause__)
    assert sorted(bundle.cohort.rglob("*")) == before


def test_a_run_leaves_a_card_by_which_anyone_can_build_its_network(
    student: Path, teacher: Path, bundle: Bundle
) -> None:
    for run, modalities in ((student, ("t2",)), (teacher, MODALITIES)):
        card = ModelCard.read(run / "models" / "model.json")
        assert (card.name, card.modalities) == (
            json.loads((run / "run.json").read_text())["settings"]["run_name"],
            modalities,
        )
        assert card.synthetic
        assert card.training_data["hash"] == json.loads(bundle.data_list.read_text())["hash"]
        assert card.sha256 == file_hash(run / "models" / "model.pt")
        load_weights(build_network(card.network), card.weights)


def test_evaluation_notes_in_the_card_what_to_expect(bundle: Bundle, student: Path) -> None:
    bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **bundle.options(output_dir=student))
    evaluation = ModelCard.read(student / "models" / "model.json").evaluation
    with (student / "evaluation" / "metrics.csv").open() as file:
        metrics = {row[0]: float(row[1]) for row in csv.reader(file)}
    assert evaluation.section == "test"
    assert evaluation.mean == pytest.approx(
        {region: metrics[f"val_mean_dice_{region}"] for region in REGIONS}, abs=1e-6
    )


def test_evaluation_counts_truth_outside_the_students_own_brain_box(
    bundle: Bundle, student: Path, tmp_path: Path
) -> None:
    """A scan whose field of view is cut off must not be scored on what it shows alone."""
    cohort = tmp_path / "cohort"
    shutil.copytree(bundle.cohort, cohort)
    entry = json.loads(bundle.data_list.read_text())["test"][0]
    label = nibabel.load(cohort / entry["label"])
    box = np.argwhere(np.asarray(label.dataobj) > 0)
    middle = int(box[:, 2].mean())
    scan = nibabel.load(cohort / entry["image"][2])
    cut = np.asarray(scan.dataobj).copy()
    cut[:, :, middle:] = 0
    nibabel.save(nibabel.Nifti1Image(cut, scan.affine), cohort / entry["image"][2])
    voxels: list[int] = []
    compute = DiceMetric.__call__

    def count(self: DiceMetric, y_pred: list[torch.Tensor], y: list[torch.Tensor]) -> object:
        if y[0].shape[0] == 3:
            voxels.append(int(y[0][1].sum()))
        return compute(self, y_pred, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiceMetric, "__call__", count)
        options = bundle.options(dataset_dir=cohort, output_dir=student, evaluation_dir=tmp_path / "scores")
        bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **options)
    assert voxels[0] == len(box)


@pytest.mark.parametrize(("label_scheme", "values"), [("brats2018", {0, 1, 2, 4}), ("brats2023", {0, 1, 2, 3})])
def test_inference_writes_labels_on_the_original_grid(
    bundle: Bundle, student: Path, tmp_path: Path, label_scheme: str, values: set[int]
) -> None:
    case = next(path for path in sorted(bundle.cohort.rglob("*_t2.nii.gz")))
    source = nibabel.load(case)
    moved = nibabel.as_closest_canonical(source).slicer[2:, :, 1:]
    folder = tmp_path / "input"
    folder.mkdir()
    nibabel.save(moved, folder / case.name)
    output = tmp_path / "output"
    options = {key: bundle.options()[key] for key in ("spacing", "roi_size", "init_filters", "num_workers")}
    bundle.run(
        "evaluating",
        CONFIGS / "inference.json",
        **{"dataset_dir": folder, "ckpt_dir": student / "models", "output_dir": output, **options},
        label_scheme=label_scheme,
    )
    result = nibabel.load(output / case.name.replace(".nii.gz", "_seg.nii.gz"))
    assert result.shape == moved.shape
    assert result.get_data_dtype() == np.uint8
    np.testing.assert_allclose(result.affine, moved.affine)
    assert set(np.unique(result.dataobj)) <= values


def test_score_of_saved_predictions_equals_the_evaluation(bundle: Bundle, tmp_path: Path) -> None:
    """``pkdr score`` reads the label maps from the disk and shares no code with MONAI's metrics but HD95's."""
    torch.manual_seed(3)
    network = PatchVNet(1, init_filters=2)
    network.output.bias.data[REGIONS.index("et")] += 0.6  # or it finds no ET
    (tmp_path / "models").mkdir()
    torch.save(network.state_dict(), tmp_path / "models" / "model.pt")
    rule = 1e7  # mm³, so that no ET is left
    options = {"checkpoint": tmp_path / "models" / "model.pt", "save_pred": True, "et_rule": rule}
    options |= bundle.options(output_dir=tmp_path)
    workflow = bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **options)
    details = workflow.parser.get_parsed_content("validate#evaluator").state.metric_details
    scored = score_label_maps(tmp_path / "evaluation" / "predictions", bundle.cohort, et_rule=rule)
    entries = json.loads(bundle.data_list.read_text())["test"]
    assert list(scored.cases) == sorted(entry["case"] for entry in entries)
    assert any(0 < scores["dice_wt"] < 1 for scores in scored.cases.values())
    for place, entry in enumerate(entries):
        scores = scored.cases[entry["case"]]
        for metric, name in (("val_mean_dice", "dice"), ("val_hd95", "hd95")):
            expected = [float(value) for value in details[metric][place]]
            assert [scores[f"{name}_{region}"] for region in REGIONS] == pytest.approx(expected, abs=1e-6, nan_ok=True)
            ruled = [float(value) for value in details[f"val_{name}_et_rule"][place]]
            assert ruled == pytest.approx([scores[f"{name}_et_rule"]], abs=1e-6)
    assert any(scores["dice_et_rule"] != scores["dice_et"] for scores in scored.cases.values())
    for metric in ("dice", "hd95"):
        lines = (tmp_path / "evaluation" / f"val_{metric}_et_rule_raw.csv").read_text().splitlines()
        assert len(lines) == 1 + len(entries)

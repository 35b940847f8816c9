"""Cohorts as they are: each layout and kind of list trains, bit by bit, as the same cases in the folders of BraTS."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import load_decathlon_datalist

from pkdr_monai.cli import main
from pkdr_monai.data import load_data_list
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.files import write_json

from .conftest import CONFIGS, TRAIN, UNIMODAL, Bundle

ORDER = ("flair", "t1", "t1ce", "t2")  # of the Decathlon's channels, and not that of this project
TISSUES = {"brats2018": (1, 2, 4), "msd": (2, 1, 3)}  # NCR, ED, ET
VERSION_1 = {
    "modality": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"},
    "labels": {"0": "background", "1": "necrosis", "2": "edema", "4": "enhancing"},
}
VERSION_2 = {
    "channel_names": {"0": "FLAIR", "1": "T1w", "2": "T1-Gd", "3": "T2w"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
    "file_ending": ".nii.gz",
}
TASK01 = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}


@pytest.fixture(scope="module")
def entries(bundle: Bundle) -> dict[str, list[dict[str, Any]]]:
    """The cases of the BraTS folder, by section."""
    data_list = load_data_list(bundle.data_list)
    return {section: data_list[section] for section in SECTIONS}


@pytest.fixture(scope="module")
def expected(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a training from the BraTS folder."""
    return _weights(bundle, tmp_path_factory.mktemp("brats"))


def _weights(bundle: Bundle, folder: Path) -> dict[str, torch.Tensor]:
    run = bundle.train(folder / "run", UNIMODAL, max_epochs=1)
    return torch.load(run / "models" / "model_last.pt", weights_only=True)


def _files(bundle: Bundle, entry: dict[str, Any]) -> dict[str, Path]:
    images = {modality: bundle.cohort / entry["image"][place] for modality, place in entry["channels"].items()}
    return {**images, "label": bundle.cohort / entry["label"]}


def _write_label(source: Path, target: Path, scheme: str) -> None:
    image = nib.load(source)
    label = np.asarray(image.dataobj).astype(np.uint8)
    translated = np.zeros_like(label)
    for own, value in zip(TISSUES["brats2018"], TISSUES[scheme], strict=True):
        translated[label == own] = value
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(translated, image.affine), target)


def _all_cases(entries: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [entry for section in SECTIONS for entry in entries[section]]


@pytest.mark.parametrize(
    ("description", "scheme"), [(VERSION_1, "brats2018"), (VERSION_2, "msd")], ids=["version1", "version2"]
)
def test_nnunets_raw_data_trains_as_the_same_cases_of_brats(
    bundle: Bundle,
    entries: dict[str, list[dict[str, Any]]],
    expected: dict[str, torch.Tensor],
    description: dict[str, Any],
    scheme: str,
    tmp_path: Path,
) -> None:
    raw = tmp_path / "Dataset137_BraTS"
    (raw / "imagesTr").mkdir(parents=True)
    for entry in _all_cases(entries):
        files = _files(bundle, entry)
        for channel, modality in enumerate(ORDER):
            (raw / "imagesTr" / f"{entry['case']}_{channel:04}.nii.gz").symlink_to(files[modality])
        _write_label(files["label"], raw / "labelsTr" / f"{entry['case']}.nii.gz", scheme)
    write_json(raw / "dataset.json", description)
    names = {
        short: [entry["case"] for entry in entries[section]]
        for short, section in zip(("train", "val", "test"), SECTIONS, strict=True)
    }
    write_json(tmp_path / "split.json", names)
    output = tmp_path / "list.json"
    main(["data", "split", str(raw), "--output", str(output), "--split", str(tmp_path / "split.json")])
    assert load_data_list(output)["label_scheme"] == scheme
    torch.testing.assert_close(_weights(Bundle(raw, output), tmp_path), expected, rtol=0, atol=0)


def _without_hash(bundle: Bundle, entries: dict[str, list[dict[str, Any]]], folder: Path) -> Bundle:
    """A list of several files a case, as somebody writes one by hand for MONAI."""
    listed: dict[str, Any] = {"labels": VERSION_1["labels"]}
    for section in SECTIONS:
        listed[section] = [{key: entry[key] for key in ("image", "label")} for entry in entries[section]]
    write_json(folder / "dataset.json", listed)
    return Bundle(bundle.cohort, folder / "dataset.json")


def _task01(bundle: Bundle, entries: dict[str, list[dict[str, Any]]], folder: Path) -> Bundle:
    """The Decathlon's own layout: one file of four channels a case, and its dataset.json with a validation part."""
    task = folder / "Task01_BrainTumour"
    (task / "imagesTr").mkdir(parents=True)
    for entry in _all_cases(entries):
        files = _files(bundle, entry)
        channels = [np.asarray(nib.load(files[modality]).dataobj) for modality in ORDER]
        affine = nib.load(files["t1"]).affine
        nib.save(nib.Nifti1Image(np.stack(channels, -1), affine), task / "imagesTr" / f"{entry['case']}.nii.gz")
        _write_label(files["label"], task / "labelsTr" / f"{entry['case']}.nii.gz", "msd")
    listed: dict[str, Any] = dict(TASK01)
    for section in ("training", "validation"):
        names = [f"{entry['case']}.nii.gz" for entry in entries[section]]
        listed[section] = [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names]
    listed["test"] = [f"./imagesTs/{entry['case']}.nii.gz" for entry in entries["test"]]
    write_json(task / "dataset.json", listed)
    return Bundle(task, task / "dataset.json")


@pytest.mark.parametrize("write", [_without_hash, _task01])
def test_a_decathlon_list_without_a_hash_trains_with_a_warning(
    bundle: Bundle,
    entries: dict[str, list[dict[str, Any]]],
    expected: dict[str, torch.Tensor],
    write: Callable[..., Bundle],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listed = write(bundle, entries, tmp_path)
    items = load_decathlon_datalist(listed.data_list, data_list_key="training", base_dir=listed.cohort)
    assert len(items) == len(entries["training"])
    with caplog.at_level(logging.WARNING):
        weights = _weights(listed, tmp_path)
    assert f"{listed.data_list} has no hash: it is taken as it is" in caplog.text
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)


@pytest.mark.slow
def test_the_lists_of_folds_train_and_test_every_case_once(bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "list.json"
    main(["data", "split", str(bundle.cohort), "--output", str(output), "--folds", "3", "--validation", "1"])
    scored: list[str] = []
    for fold in range(3):
        folds = Bundle(bundle.cohort, tmp_path / f"list_fold{fold}.json")
        run = folds.train(tmp_path / f"fold{fold}", UNIMODAL, max_epochs=1)
        folds.run("evaluating", TRAIN, UNIMODAL, CONFIGS / "evaluate.json", **folds.options(output_dir=run))
        with (run / "evaluation" / "val_mean_dice_raw.csv").open() as file:
            scored += [Path(row["filename"]).parent.name for row in csv.DictReader(file)]
    cases = [entry["case"] for section in SECTIONS for entry in json.loads(bundle.data_list.read_text())[section]]
    assert sorted(scored) == sorted(cases)

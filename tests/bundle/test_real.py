"""The bundle on real scans: the documented commands, on BraTS 2018, BraTS 2023 and the Decathlon."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from pkdr_monai.data import find_cases, inference_items, make_data_list, training_items
from pkdr_monai.data.transforms import LabelToRegionsd
from pkdr_monai.files import write_json
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import PatchVNet

from .conftest import CONFIGS, TEACHER, TRAIN
from .test_command_line import command, run

pytestmark = [pytest.mark.real, pytest.mark.slow]

SIX_EPOCHS = {"max_epochs": 6, "val_interval": 6, "init_filters": 4, "batch_size": 2, "num_workers": 0}
COARSE = {"spacing": "[2.0,2.0,2.0]", "roi_size": "[64,64,64]"}


@pytest.fixture(scope="module")
def data_list(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight of the cases: tests/data/test_real.py looks at all of them."""
    folder = tmp_path_factory.mktemp("real")
    whole = json.loads((real_data / "brats2018_split.json").read_text())
    write_json(folder / "split.json", {"train": whole["train"][:6], "val": whole["val"][:2], "test": []})
    write_json(folder / "datalist.json", make_data_list(real_data / "brats2018", split=folder / "split.json"))
    return folder / "datalist.json"


def _preprocessed(folder: Path, split: Path, modalities: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Load the one case of a folder as a training does."""
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    write_json(split, {"training": [find_cases(folder).cases[0].name], "validation": [], "test": []})
    item = training_items(make_data_list(folder, split=split), folder, "training", modalities)[0]
    return LabelToRegionsd("label")(parser.get_parsed_content("preprocessing")(item))


@pytest.mark.parametrize("folder", ["brats2018", "brats2023", "msd/Task01_BrainTumour"])
def test_every_layout_loads_into_one_order_and_orientation(real_data: Path, tmp_path: Path, folder: str) -> None:
    """Modality by modality and all at once are the same channels; FLAIR is bright where the oedema is."""
    together = _preprocessed(real_data / folder, tmp_path / "split.json", MODALITIES)
    image, label = together["image"], together["label"]
    assert nibabel.aff2axcodes(image.affine.numpy()) == ("R", "A", "S")
    assert image.shape[0] == 4
    assert image.shape[1:] == label.shape[1:]
    oedema = (label[1] - label[0]).bool()
    assert float(image[3][oedema].median()) > 0.5
    assert float(label[2].sum()) > 0
    for channel, modality in enumerate(MODALITIES):
        alone = _preprocessed(real_data / folder, tmp_path / "split.json", (modality,))
        brain = alone["image"][0] != 0
        assert int(brain.sum()) == int((image[channel] != 0).sum())
        torch.testing.assert_close(alone["image"][0][brain], image[channel][image[channel] != 0])


def test_teacher_and_student_train_on_real_crops_and_the_student_segments(
    real_data: Path, data_list: Path, tmp_path: Path
) -> None:
    common = {"dataset_dir": real_data / "brats2018", "data_list_file": data_list, **SIX_EPOCHS, **COARSE}
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    for configs, options in (
        ([TRAIN, TEACHER], {"output_dir": teacher}),
        ([TRAIN], {"output_dir": student, "teacher_checkpoint": teacher / "models" / "model.pt"}),
    ):
        result = run(command("training", configs, {**common, **options}), timeout=900)
        assert result.returncode == 0, result.stdout + result.stderr
        with (options["output_dir"] / "history.csv").open() as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file)]
        assert losses[-1] < losses[0]
        assert json.loads((options["output_dir"] / "run.json").read_text())["status"] == "finished"

    volume = Path(inference_items(real_data / "brats2018", ("t2",))[0]["image"][0])
    options = {
        **{"dataset_dir": volume, "ckpt_dir": student / "models", "output_dir": tmp_path / "output"},
        **{"init_filters": SIX_EPOCHS["init_filters"], **COARSE},
    }
    result = run(command("evaluating", [CONFIGS / "inference.json"], options))
    assert result.returncode == 0, result.stdout + result.stderr
    source = nibabel.load(volume)
    written = nibabel.load(tmp_path / "output" / volume.name.replace(".nii.gz", "_seg.nii.gz"))
    assert (written.shape, written.get_data_dtype()) == (source.shape, np.uint8)
    np.testing.assert_allclose(written.affine, source.affine)
    assert set(np.unique(written.dataobj)) <= {0, 1, 2, 4}


def test_the_full_size_network_segments_a_real_volume_at_full_resolution(real_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(PatchVNet(1).state_dict(), tmp_path / "model.pt")
    volume = Path(inference_items(real_data / "brats2023", ("t2",))[0]["image"][0])
    options = {"dataset_dir": volume, "checkpoint": tmp_path / "model.pt", "output_dir": tmp_path / "output"}
    result = run(
        command("evaluating", [CONFIGS / "inference.json"], {**options, "overlap": 0.0, "label_scheme": "brats2023"})
    )
    assert result.returncode == 0, result.stdout + result.stderr
    source, written = (nibabel.load(path) for path in (volume, next((tmp_path / "output").glob("*_seg.nii.gz"))))
    assert (written.shape, written.get_data_dtype()) == (source.shape, np.uint8)
    np.testing.assert_allclose(written.affine, source.affine)
    assert set(np.unique(written.dataobj)) <= {0, 1, 2, 3}

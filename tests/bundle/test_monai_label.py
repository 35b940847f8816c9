"""What MONAI Label does with a bundle, without its server: it reads one config of each kind and sets a few ids.

``make consumers`` tries the server itself.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.runs.model_card import ModelCard

from .conftest import CONFIGS, TINY, Bundle


@pytest.fixture
def installed(teacher: Path, student: Path, tmp_path: Path) -> Path:
    """The bundle as it lies in a server's folder, with its own weights and a teacher's."""
    root = tmp_path / "bundle"
    shutil.copytree(CONFIGS, root / "configs")
    for run, folder in ((student, root / "models"), (teacher, root / "models" / "teacher")):
        folder.mkdir()
        shutil.copy(run / "models" / "model.pt", folder)
    files = [str(root / "configs" / name) for name in ("train.json", "monai_label.json")]
    merged = {**ConfigParser.load_config_files(files), **TINY}
    (root / "configs" / "train.json").write_text(json.dumps(merged))
    return root


@pytest.fixture
def scans(bundle: Bundle, tmp_path: Path) -> list[dict[str, str]]:
    """Cases as one file of four modalities each, with the labels of BraTS 2018 and, of the last, of 2023."""
    items = []
    for number, case in enumerate(sorted(bundle.cohort.glob("HGG/*"))[:3]):
        volumes = [nibabel.load(case / f"{case.name}_{modality}.nii.gz") for modality in MODALITIES]
        image, label = (tmp_path / f"{case.name}{end}.nii.gz" for end in ("", "_label"))
        stacked = np.stack([np.asarray(volume.dataobj) for volume in volumes], axis=-1)
        nibabel.save(nibabel.Nifti1Image(stacked, volumes[0].affine), image)
        segmentation = nibabel.load(case / f"{case.name}_seg.nii.gz")
        values = np.asarray(segmentation.dataobj)
        values = np.where(values == 4, 3, values).astype(np.uint8) if number == 2 else values
        nibabel.save(nibabel.Nifti1Image(values, segmentation.affine), label)
        items.append({"image": str(image), "label": str(label)})
    return items


def _train(bundle: Bundle, root: Path, scans: list[dict[str, str]]) -> None:
    """Call the bundle as MONAI Label 0.8.5 does; it puts a loader of its own first among the handlers."""
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "train.json"))
    handlers: list[dict[str, Any]] = parser["train#handlers"]
    load = {"load_path": str(root / "models" / "model.pt"), "load_dict": {"model": "$@network"}, "strict": False}
    overrides = {
        "bundle_root": root,
        "device": "cpu",
        "train#trainer#max_epochs": 1,
        "train#dataset#data": scans[1:],
        "train#handlers": [{"_target_": "CheckpointLoader", **load}, *handlers],
        "validate#dataset#data": scans[:1],
    }
    bundle.run("run", root / "configs" / "train.json", **overrides)


def test_labels_that_it_hands_over_make_new_weights(
    bundle: Bundle, installed: Path, scans: list[dict[str, str]]
) -> None:
    before = torch.load(installed / "models" / "model.pt", weights_only=True)
    _train(bundle, installed, scans)
    after = torch.load(installed / "models" / "model.pt", weights_only=True)
    assert set(after) == set(before)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    card = ModelCard.read(installed / "models" / "model.json")
    assert card.modalities == ("t2",)
    assert card.with_weights(installed / "models" / "model.pt").sha256 == card.sha256
    (run,) = (installed / "runs").iterdir()
    assert run.name.startswith("pkdr_t2_")
    assert [path.name for path in (installed / "models").glob("*.pt")] == ["model.pt"]  # all that it offers


def test_one_file_of_four_sequences_is_segmented_from_the_students_own(
    installed: Path, scans: list[dict[str, str]], bundle: Bundle
) -> None:
    parser = ConfigParser()
    parser.read_config(str(installed / "configs" / "inference.json"))
    image = Path(scans[0]["image"])
    alone = next(bundle.cohort.rglob(f"{image.name.removesuffix('.nii.gz')}_t2.nii.gz"))
    prepare = parser.get_parsed_content("preprocessing")
    four, one = (prepare({"image": str(path)})["image"] for path in (image, alone))
    assert four.shape[0] == 1
    torch.testing.assert_close(four.as_tensor(), one.as_tensor())


def test_its_names_of_labels_are_those_of_the_label_map() -> None:
    """MONAI Label takes the numbers of the channels for the values of the label map."""
    from pkdr_monai.regions import scheme_labels

    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    named = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    scheme = json.loads((CONFIGS / "inference.json").read_text())["label_scheme"]
    values = scheme_labels(scheme)
    assert named == {
        "0": "Background",
        str(values["ncr"]): "Necrotic core",
        str(values["ed"]): "Oedema",
        str(values["et"]): "Enhancing tumour",
    }

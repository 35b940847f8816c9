"""The configs say the same thing where they share it, what the paper says, and what MONAI's tools look for."""

from __future__ import annotations

import hashlib
import json
import pydoc
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow, verify_metadata

import pkdr_monai
from pkdr_monai.data.transforms import LoadImagesd, LoadModalitiesd
from pkdr_monai.runs.models import settings_beside

from .conftest import CONFIGS, ROOT, TEACHER, TRAIN, UNIMODAL, Bundle

INFERENCE, EVALUATE = CONFIGS / "inference.json", CONFIGS / "evaluate.json"
OURS = sorted([*CONFIGS.glob("*.json"), *(ROOT / "experiments").rglob("*.yaml")])
TRANSFORMS = "pkdr_monai.data.transforms"


def _read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("key", ["network", "modalities", "device"])
def test_training_and_inference_agree_on(key: str) -> None:
    assert _read(INFERENCE)[key] == _read(TRAIN)[key]


def test_inference_builds_the_network_of_training_with_the_norm_of_the_card() -> None:
    assert _read(INFERENCE)["network_def"] == {**_read(TRAIN)["network_def"], "norm": "$@trained['norm']"}


@pytest.mark.parametrize("key", ["spacing", "roi_size", "init_filters"])
def test_inference_without_a_card_has_the_settings_of_training(key: str, tmp_path: Path) -> None:
    assert settings_beside(tmp_path / "model.pt")[key] == _read(TRAIN)[key]


@pytest.mark.parametrize("config", OURS, ids=lambda path: path.stem)
def test_what_a_config_names_of_this_package_is_there(config: Path) -> None:
    code = re.sub(r"^\s*#.*", "", config.read_text(), flags=re.MULTILINE)
    for name in set(re.findall(r"\bpkdr_monai(?:\.\w+)+", code)):
        assert pydoc.locate(name) is not None, name


def test_training_and_inference_prepare_an_image_alike() -> None:
    """They differ in who hands the image over: labels come along here, and cases of unknown origin there.

    The grid of a training is MONAI's, by which results were recorded; that of inference does not hang on the last
    digits of an affine.
    """
    training, inference = (_read(path)["preprocessing"]["transforms"] for path in (TRAIN, INFERENCE))
    assert inference[:3] == [
        {"_target_": f"{TRANSFORMS}.LoadImagesd", "keys": "image", "geometry": "@geometry"},  # known to MONAI Deploy
        training[1],
        {**training[2], "modalities": "@modalities"},
    ]
    assert inference[3] == {"_target_": f"{TRANSFORMS}.CheckScand", "keys": "image", "force": "@force"}
    assert [training[4]["_target_"], inference[5]["_target_"]] == ["Spacingd", f"{TRANSFORMS}.SteadySpacingd"]
    assert inference[4:] == [*training[3:4], {**training[4], "_target_": inference[5]["_target_"]}, *training[5:]]
    assert issubclass(LoadImagesd, LoadModalitiesd)
    assert "LoadImage" in LoadImagesd.__name__  # by which MONAI Deploy, which loads images itself, drops it


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 4),
        ("max_epochs", 1000),
        ("learning_rate", 1e-3),
        ("weight_decay", 1e-5),
        ("lr_power", 0.9),
        ("roi_size", [128, 128, 96]),  # the paper's 96x128x128 is (Z, Y, X)
        ("init_filters", 16),
    ],
)
def test_the_defaults_are_the_papers(key: str, value: object) -> None:
    assert _read(TRAIN)[key] == value


def test_the_loss_has_the_papers_weights() -> None:
    assert _read(TRAIN)["loss"] == {"_target_": "pkdr_monai.losses.PKDRLoss", "alpha": 0.7, "beta": 0.5}


@pytest.mark.parametrize("overlay", [None, TEACHER, UNIMODAL, EVALUATE], ids=lambda path: path and path.stem)
def test_monai_finds_every_training_property(
    bundle: Bundle, teacher: Path, tmp_path: Path, overlay: Path | None
) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(config) for config in (TRAIN, overlay) if config],
        workflow_type="train",
        logging_file=False,
        **bundle.options(output_dir=str(tmp_path), teacher_checkpoint=str(teacher / "models" / "model.pt")),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_monai_finds_every_inference_property(bundle: Bundle) -> None:
    workflow = ConfigWorkflow(
        config_file=str(INFERENCE), workflow_type="infer", logging_file=False, dataset_dir=str(bundle.cohort)
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_the_version_is_in_the_changelog_and_is_the_packages() -> None:

    metadata = _read(CONFIGS / "metadata.json")
    assert metadata["version"] in metadata["changelog"]
    assert metadata["version"] == pkdr_monai.__version__


@pytest.mark.real
def test_the_metadata_keeps_monais_schema(real_data: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    content = (real_data.parent / "meta_schema_20240725.json").read_bytes()
    schema.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=str(schema), hash_val=digest, hash_type="sha256")


def test_a_mere_load_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``bundle.load``, MONAI Label and FLARE initialise a bundle before any data set is there."""
    monkeypatch.chdir(tmp_path)
    for config in (TRAIN, INFERENCE):
        ConfigWorkflow(config_file=str(config), workflow_type="train", logging_file=False).initialize()
    assert list(tmp_path.iterdir()) == []

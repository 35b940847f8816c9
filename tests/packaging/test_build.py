"""The bundle's zip holds what was asked for, and its configs fit its weights."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

import pkdr_monai
from pkdr_monai.baselines import UHVED, ClassesToRegions
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.networks import MonaiVNet, PatchVNet, load_model
from pkdr_monai.packaging import build_bundle, verify_bundle
from pkdr_monai.packaging.build import config_of, mark_demonstration, metadata_of, weights_page
from pkdr_monai.regularizers import BoundaryVNet
from pkdr_monai.runs.models import read_model

from .conftest import CHECK_SHAPE, NAME, SOURCE, write_card, write_run


def _names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name.removeprefix(f"{NAME}/") for name in archive.namelist()}


def _read(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{NAME}/{name}").decode()


def test_it_holds_configs_code_licences_weights_and_exports(zipped: Path) -> None:
    names = _names(zipped)
    assert {"LICENSE", "docs/data_license.txt", "docs/README.md", "configs/train.json", "configs/logging.conf"} <= names
    assert {name for name in names if name.startswith("models/")} == {
        "models/model.json",
        "models/model.pt",
        "models/model.ts",
        "models/exports.json",
    }
    package = Path(pkdr_monai.__file__).parent
    code = {f"pkdr_monai/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert {name for name in names if name.startswith("pkdr_monai/")} == code | {"pkdr_monai/py.typed"}


def test_the_same_input_gives_the_same_bytes_from_another_folder_under_another_umask(
    zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchscript_alone: None
) -> None:
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o077)
    try:
        build_bundle("b.zip", NAME, os.path.relpath(SOURCE), zipped.parent / "run", check_shape=CHECK_SHAPE)
    finally:
        os.umask(umask)
    assert file_hash("b.zip") == file_hash(zipped)


def test_the_configs_are_those_of_the_run(zipped: Path) -> None:
    for part in ("train", "inference"):
        assert json.loads(_read(zipped, f"configs/{part}.json"))["init_filters"] == 2
    assert "pkdr_t2, finished" in _read(zipped, "docs/weights.md")


def test_without_a_run_it_has_the_weights_of_the_source(tmp_path: Path) -> None:
    build_bundle(tmp_path / "a.zip", NAME, SOURCE)
    found = {name for name in _names(tmp_path / "a.zip") if name.startswith("models/")}
    assert found == {"models/README.md", "models/model.pt", "models/model.json"}
    for part in ("train", "inference"):
        network = json.loads(_read(tmp_path / "a.zip", f"configs/{part}.json"))["network_def"]
        assert network["_target_"].endswith("AnySubsetVNet")
        assert network["available"] == "@modalities"


def test_a_source_without_weights_gives_a_bundle_without(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "source", ignore=shutil.ignore_patterns("model.*"))
    build_bundle(tmp_path / "a.zip", NAME, tmp_path / "source")
    assert {name for name in _names(tmp_path / "a.zip") if name.startswith("models/")} == {"models/README.md"}
    assert _read(tmp_path / "a.zip", "configs/train.json") == (SOURCE / "configs" / "train.json").read_text()


def test_a_demonstration_is_marked(run: Path, tmp_path: Path, torchscript_alone: None) -> None:
    build_bundle(tmp_path / "a.zip", NAME, SOURCE, run, demonstration=True, check_shape=CHECK_SHAPE)
    for page in ("docs/README.md", "docs/weights.md"):
        assert _read(tmp_path / "a.zip", page).startswith("> **Demonstration on synthetic data")
    assert "synthetic" in json.loads(_read(tmp_path / "a.zip", "configs/metadata.json"))["name"]


def test_hosted_weights_are_named_and_left_out(run: Path, tmp_path: Path, torchscript_alone: None) -> None:
    lines: list[str] = []
    url = "https://example.org/w"
    build_bundle(tmp_path / "a.zip", NAME, SOURCE, run, False, url, CHECK_SHAPE, lines.append)
    assert {name for name in _names(tmp_path / "a.zip") if name.startswith("models/")} == {
        "models/exports.json",
        "models/model.json",
    }
    page = _read(tmp_path / "a.zip", "large_files.yml")
    assert "https://example.org/w/model.pt" in page
    assert "https://example.org/w/model.ts" in page
    assert lines[-1] == f"upload {run / 'models' / 'model.ts'} to {url}"


@pytest.mark.parametrize(
    "network",
    [
        PatchVNet(1, init_filters=2, patch_head=True),
        pytest.param(MonaiVNet(1), marks=pytest.mark.slow),
        BoundaryVNet(1, init_filters=2),
        UHVED(["t2"], init_filters=2),
        ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_every_network_that_has_a_card_can_be_bundled(
    network: nn.Module, run: Path, tmp_path: Path, torchscript_alone: None
) -> None:
    torch.save(network.state_dict(), run / "models" / "model.pt")
    write_card(run, network, ("t2",))
    build_bundle(tmp_path / "a.zip", NAME, SOURCE, run, check_shape=CHECK_SHAPE)
    verify_bundle(tmp_path / "a.zip")
    exports = json.loads(_read(tmp_path / "a.zip", "models/exports.json"))["exports"]
    assert exports[0]["offered"], exports[0]["reason"]
    built = ConfigParser(json.loads(_read(tmp_path / "a.zip", "configs/inference.json")))
    assert built.get_parsed_content("network_def").state_dict().keys() == network.state_dict().keys()


def test_a_run_without_a_card_or_with_that_of_other_weights_makes_no_bundle(run: Path, tmp_path: Path) -> None:
    torch.save(PatchVNet(1, init_filters=2).state_dict(), run / "models" / "model.pt")
    with pytest.raises(InputError, match="is not the file that its card describes"):
        build_bundle(tmp_path / "a.zip", NAME, SOURCE, run)
    (run / "models" / "model.json").unlink()
    with pytest.raises(InputError, match=r"has no model\.json beside it"):
        build_bundle(tmp_path / "a.zip", NAME, SOURCE, run)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "no spaces"}, "expected a name of letters, digits and underscores"),
        ({"source": Path("nowhere")}, "is no bundle"),
        ({"demonstration": True}, "name the training with --run"),
        ({"weights_url": "https://example.org"}, "name the training with --run"),
        ({"run": "run", "modality": "t2"}, "a training's modalities are its own"),
        ({"modality": "dwi"}, "dwi"),
    ],
)
def test_settings_that_make_no_bundle_are_refused(settings: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        build_bundle(tmp_path / "a.zip", **{"name": NAME, "source": SOURCE, **settings})
    assert list(tmp_path.iterdir()) == []


def test_the_weights_that_come_along_can_be_bundled_for_one_modality(tmp_path: Path) -> None:
    build_bundle(tmp_path / "a.zip", NAME, SOURCE, modality="flair")
    inference, metadata = (
        json.loads(_read(tmp_path / "a.zip", f"configs/{part}.json")) for part in ("inference", "metadata")
    )
    assert inference["modality"] == "flair"
    assert inference["network_def"]["available"] == "@modalities"
    assert metadata["network_data_format"]["inputs"]["image"]["channel_def"] == {"0": "FLAIR"}


def _config(name: str) -> dict:
    return json.loads((SOURCE / "configs" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["train", "inference"])
def test_a_plain_student_keeps_the_network_with_its_arguments_written_out(name: str, run: Path) -> None:
    config = _config(name)
    adapted = config_of(config, read_model(run))
    changed = {key for key in config if adapted[key] != config[key]}
    assert changed == {"spacing", "roi_size", "init_filters", "network_def"}
    expected = {"in_channels": "$len(@modalities)", "init_filters": "@init_filters", "norm": "batch"}
    assert expected.items() <= adapted["network_def"].items()
    assert adapted["network_def"]["_target_"].endswith(".PatchVNet")
    assert (adapted["spacing"], adapted["roi_size"], adapted["init_filters"]) == ([6.0] * 3, [32] * 3, 2)


@pytest.mark.parametrize("name", ["train", "inference"])
def test_the_config_builds_the_network_of_the_weights(name: str, tmp_path: Path) -> None:
    model = read_model(write_run(tmp_path / "run", ("t1", "flair"), patch_head=True))
    network = ConfigParser(config_of(_config(name), model)).get_parsed_content("network_def")
    assert network.state_dict().keys() == load_model(model).state_dict().keys()
    assert network.in_channels == 2


def test_the_metadata_names_the_channels(tmp_path: Path) -> None:
    model = read_model(write_run(tmp_path / "run", ("t1ce", "flair")))
    image = metadata_of(_config("metadata"), model, False)["network_data_format"]["inputs"]["image"]
    assert (image["num_channels"], image["channel_def"]) == (2, {"0": "T1ce", "1": "FLAIR"})


def test_a_demonstration_says_so_wherever_it_is_read(run: Path) -> None:
    model = read_model(run)
    plain, marked = (metadata_of(_config("metadata"), model, demonstration) for demonstration in (False, True))
    assert "synthetic" not in plain["name"] + plain["description"] + plain["intended_use"]
    for key in ("name", "description", "intended_use", "data_source"):
        assert "synthetic" in marked[key], key
    assert "never seen a patient" in mark_demonstration("# Page\n")


def test_the_page_says_where_the_weights_come_from(run: Path) -> None:
    page = weights_page(read_model(run), json.loads((run / "run.json").read_text()))
    expected = ("pkdr_t2, finished", "| T2 |", "6 x 6 x 6 mm", "0.5000 in epoch 3", "SHA-256", "not a medical device")
    for words in expected:
        assert words in page, words

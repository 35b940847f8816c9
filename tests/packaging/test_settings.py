from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pkdr_monai.networks import load_model
from pkdr_monai.packaging.build import config_of, mark_demonstration, metadata_of, weights_page
from pkdr_monai.runs.models import read_model

from .conftest import SOURCE, write_run


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

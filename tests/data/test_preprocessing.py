"""The preprocessing in Python is that of the bundle, setting by setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from pkdr_monai.caching.preparation import describe
from pkdr_monai.data import inference_items
from pkdr_monai.data.preprocessing import preprocessing
from pkdr_monai.phantom import write_cohort

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"


@pytest.mark.parametrize("config", ["train", "inference"])
def test_every_setting_is_the_bundles(config: str) -> None:
    """How far inference.json prepares an image as train.json does, tests/bundle/test_configs.py holds."""
    parser = ConfigParser(json.loads((CONFIGS / f"{config}.json").read_text()))
    parser["spacing"] = [5.0, 6.0, 7.0]
    ours = describe(preprocessing((5.0, 6.0, 7.0), inference=config == "inference"))
    theirs = describe(parser.get_parsed_content("preprocessing"))
    begin = {"train": 0, "inference": -4}[config]  # inference.json loads and checks what others hand over
    assert ours["transforms"][begin:] == theirs["transforms"][begin:]


def test_a_scan_without_a_label_has_the_orientation_spacing_and_scale_of_the_network(tmp_path: Path) -> None:
    write_cohort(tmp_path, cases=1, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0))
    image = preprocessing((5.0, 6.0, 7.0))(inference_items(tmp_path, ["t1", "flair"])[0])["image"]
    assert image.pixdim.tolist() == pytest.approx([5, 6, 7])
    assert (torch.diagonal(image.affine[:3, :3]) > 0).all()
    assert all(side % 16 == 0 for side in image.shape[1:])
    for channel in image.as_tensor():
        brain = channel[channel != 0]
        assert [brain.mean().item(), brain.std().item()] == pytest.approx([0, 1], abs=1e-3)

"""The preprocessing in Python is that of the bundle's inference, transform by transform."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from pkdr_monai.inference.preprocessing import preprocessing
from pkdr_monai.inference.scans import Scan

CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "inference.json"


def test_every_transform_is_the_bundles(scan: Scan) -> None:
    parser = ConfigParser(json.loads(CONFIG.read_text()))
    parser["spacing"] = [5.0, 6.0, 7.0]
    theirs, ours = parser.get_parsed_content("preprocessing"), preprocessing((5.0, 6.0, 7.0))
    assert [type(one) for one in ours.transforms] == [type(other) for other in theirs.transforms]
    item = scan.item(["t1", "flair"])
    expected, given = {"image": item["image"]}, {"image": item["image"]}
    for one, other in zip(ours.transforms, theirs.transforms, strict=True):
        given, expected = one(given), other(expected)
        torch.testing.assert_close(given["image"].as_tensor(), expected["image"].as_tensor(), rtol=0, atol=0)
        torch.testing.assert_close(given["image"].affine, expected["image"].affine)
    assert all(side % 16 == 0 for side in given["image"].shape[1:])

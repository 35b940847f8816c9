"""3D Slicer's extension runs the bundle: it sets a few ids and calls the evaluator, with nothing initialised."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from monai.bundle import ConfigParser

from .conftest import CONFIGS, TINY, Bundle


def test_one_scan_is_segmented_without_initialize(bundle: Bundle, student: Path, tmp_path: Path) -> None:
    scan = next(bundle.cohort.rglob("*_t2.nii.gz"))
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    parser.update({name: TINY[name] for name in ("spacing", "roi_size", "init_filters")})
    parser["ckpt_dir"] = str(student / "models")
    parser["datalist"] = [str(scan)]
    parser["inferer#device"] = "cpu"
    parser["dataloader#num_workers"] = 0
    parser["output_dir"] = str(tmp_path)
    parser.get_parsed_content("evaluator").run()
    (written,) = tmp_path.glob("*.nii.gz")
    segmentation, image = nibabel.load(written), nibabel.load(scan)
    assert segmentation.shape == image.shape
    assert segmentation.get_data_dtype() == np.uint8
    np.testing.assert_allclose(segmentation.affine, image.affine, atol=1e-4)
    assert set(np.unique(segmentation.dataobj)) <= {0, 1, 2, 4}

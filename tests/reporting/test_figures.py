from __future__ import annotations

import base64
import math
from xml.etree import ElementTree

from pkdr_monai.reporting.computed import Calibration
from pkdr_monai.reporting.figures import Picture, box_plots, reliability_curves, training_curves
from pkdr_monai.reporting.volumes import ShownCase


def _words(picture: Picture, mode: str = "light") -> set[str]:
    uri: str = getattr(picture, mode)
    kind, _, content = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    texts = ElementTree.fromstring(base64.b64decode(content)).iter("{http://www.w3.org/2000/svg}text")
    return {"".join(text.itertext()).strip() for text in texts}


def test_box_plots_name_every_region_and_metric_and_pass_over_what_is_no_number() -> None:
    scores = {"dice": {"a": (0.1, 0.2, 0.3)}, "hd95": {"a": (1.0, 2.0, math.nan), "b": (3.0, math.inf, math.nan)}}
    picture = box_plots(scores)
    assert {"Dice", "HD95 (mm)", "TC", "WT", "ET"} <= _words(picture)
    assert "Dice and HD95" in picture.alt


def test_dark_figure_differs_by_its_ink_alone() -> None:
    picture = box_plots({"dice": {"a": (0.1, 0.2, 0.3)}})
    assert picture.light != picture.dark
    assert _words(picture) == _words(picture, "dark")


def test_training_shows_each_part_of_the_loss_by_name() -> None:
    rows = [
        {"epoch": 1, "loss": 3.0, "segmentation": 1.0, "patch_kd": 2.0, "learning_rate": 0.1, "seconds": 9.0},
        {"epoch": 2, "loss": 2.0, "segmentation": 1.0, "patch_kd": 1.0, "val_mean_dice": 0.5, "val_mean_dice_tc": 0.4},
    ]
    words = _words(training_curves(rows))
    assert {"loss", "segmentation", "patch kd", "validation Dice", "mean", "TC"} <= words
    assert not {"learning rate", "seconds"} & words


def test_one_part_is_the_loss_itself_and_not_drawn_twice() -> None:
    words = _words(training_curves([{"epoch": 1, "loss": 1.0, "segmentation": 1.0}]))
    assert "parts of the loss, unweighted" not in words


def test_same_numbers_give_the_same_picture() -> None:
    rows = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    assert training_curves(rows) == training_curves(rows)


def test_reliability_shows_every_region_beside_the_diagonal(scan: ShownCase) -> None:
    calibration = Calibration()
    calibration.add(scan)
    assert {"as it should be", "TC", "WT", "ET"} <= _words(reliability_curves(calibration.regions()))

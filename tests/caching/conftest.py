"""A tiny synthetic cohort, as train.json would load it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose

from pkdr_monai.caching import Preparation
from pkdr_monai.data import find_cases
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom import write_cohort

TRAIN = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "train.json"
SPACING = [6.0, 6.0, 6.0]


def parsed(key: str, **settings: Any) -> Any:
    """Return a part of train.json, built."""
    parser = ConfigParser(json.loads(TRAIN.read_text()))
    for name, value in {"spacing": SPACING, **settings}.items():
        parser[name] = value
    return parser.get_parsed_content(key)


def items_of(folder: Path) -> list[dict[str, Any]]:
    """Return the cases in a folder as training loads them."""
    cases = find_cases(folder).cases
    return [
        {
            "case": case.name,
            "image": [str(folder / case.modalities[modality]) for modality in MODALITIES],
            "label": str(folder / str(case.label)),
            "scheme": "brats2018",
        }
        for case in cases
    ]


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, cases=3, shape=(40, 40, 32), spacing=SPACING, seed=5)
    return folder


@pytest.fixture(scope="session")
def items(cohort: Path) -> list[dict[str, Any]]:
    return items_of(cohort)


@pytest.fixture
def preprocessing() -> Compose:
    """Return train.json's own, at 6 mm."""
    return parsed("preprocessing")


@pytest.fixture
def preparation(preprocessing: Compose) -> Preparation:
    return Preparation(preprocessing)

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai.cli import main
from pkdr_monai.files import write_json

CARD = {
    "name": "pkdr_t2",
    "modalities": ["t2"],
    "network": {"_target_": "pkdr_monai.networks.PatchVNet", "in_channels": 1},
    "spacing": [1, 1, 1],
    "roi_size": [128, 128, 96],
    "label_scheme": "brats2018",
    "training_data": {"name": "demo", "hash": "ab", "synthetic": True},
    "evaluation": {
        "data": {},
        "section": "test",
        "cases": 6,
        "mean": {"tc": 0.6, "wt": 0.8, "et": 0.3},
        "deviation": {"tc": 0.1, "wt": 0.1, "et": 0.1},
    },
    "sha256": None,
    "version": "0.1.0",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_json(tmp_path / "runs" / "pkdr_t2" / "models" / "model.json", CARD)
    return tmp_path / "runs"


def test_models_are_listed_with_what_to_expect_of_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--models", str(runs)])
    output = capsys.readouterr().out
    assert "pkdr_t2: sees t2; Dice TC 0.60, WT 0.80, ET 0.30 on 6 test cases; trained on synthetic cases" in output
    assert output.endswith("Research software, not a medical device.\n")


def test_json_is_for_machines(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--json", "--models", str(runs)])
    facts = json.loads(capsys.readouterr().out)
    assert facts["packages"]["torch"]
    assert facts["modalities"] == ["t1", "t1ce", "t2", "flair"]
    (model,) = facts["models"]
    assert (model["name"], model["modalities"], model["evaluation"]["cases"]) == ("pkdr_t2", ["t2"], 6)


def test_without_any_model_it_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--models", str(tmp_path)])
    assert "no models here; `make demo-training` trains some" in capsys.readouterr().out


def test_it_needs_neither_torch_nor_monai(runs: Path) -> None:
    code = f"""
import sys
from pkdr_monai.cli import main
main(["info", "--json", "--models", {str(runs)!r}])
sys.exit(bool({{"torch", "monai"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0

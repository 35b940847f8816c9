"""Cases are shared out among processes; what is written does not depend on how many there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai.files import file_hash
from pkdr_monai.inference.cohort import Shard

ROOT = Path(__file__).resolve().parents[2]


def test_torchrun_says_whose_share_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shard.of_this_process() == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Shard.of_this_process() == Shard(2, 4)
    assert Shard.of_this_process().device == "cuda:1"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_the_parts_are_the_whole(count: int) -> None:
    items = list(range(5))
    parts = [Shard(rank, count).part(items) for rank in range(count)]
    assert sorted(item for part in parts for item in part) == items
    assert Shard.whole(parts) == items


def test_one_process_has_nothing_to_wait_for(tmp_path: Path) -> None:
    assert Shard().gather({"cases": [1]}, tmp_path) == [{"cases": [1]}]
    assert list(tmp_path.iterdir()) == []


def _predict(output: Path, cohort: Path, runs: Path, *launcher: str) -> dict:
    words = ["-m", "pkdr_monai", "predict", str(cohort), "-o", str(output), "--models", str(runs)]
    result = subprocess.run([sys.executable, *launcher, *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads((output / "run.json").read_text())


@pytest.mark.slow
def test_two_processes_write_what_one_writes(cohort: Path, runs: Path, tmp_path: Path) -> None:
    one = _predict(tmp_path / "one", cohort, runs)
    two = _predict(tmp_path / "two", cohort, runs, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    assert [case["case"] for case in two["cases"]] == [case["case"] for case in one["cases"]]
    assert two["summary"] == {"done": 2, "skipped": 0, "failed": 0}
    assert two["models"] == one["models"]
    written = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*_seg.nii.gz")}
    assert len(written) == 2
    for path in written:
        assert file_hash(tmp_path / "one" / path) == file_hash(tmp_path / "two" / path)
    assert not list((tmp_path / "two").glob(".run-*"))
    again = _predict(tmp_path / "two", cohort, runs)  # one process takes for done what two have done
    assert again["summary"] == {"done": 0, "skipped": 2, "failed": 0}

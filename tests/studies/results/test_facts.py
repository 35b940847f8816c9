"""The facts of a study are all there, and results of two machines are reported as such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pkdr_monai.files import read_json
from pkdr_monai.studies import read_study
from pkdr_monai.studies.report import facts_table, runs_table
from tests.studies.results.conftest import result, save_result


def _facts(folder: Path) -> dict[str, str]:
    lines = facts_table(read_study(folder)).splitlines()[2:]
    return dict((cell.strip() for cell in line.strip("|").split("|", 1)) for line in lines)


def test_what_was_run_is_told(study_folder: Path) -> None:
    facts = _facts(study_folder)
    assert facts["cohort"] == "kind: phantom; cases: 40"
    assert facts["cases"] == f"24 training, 8 validation, 6 test; split {'d' * 12}"
    assert facts["scored"] == "the test cases"
    assert facts["weights"] == "of the best validation"
    assert facts["budget"] == "max_epochs: 60; roi_size: 48, 48, 48"
    assert facts["seeds"] == "0, 1, 2"
    assert facts["results"] == "42 evaluations"
    assert facts["hardware"] == facts["cost measured on"] == "x86_64 CPU, threads: 1"
    assert facts["software"] == "monai 1.6.1, torch 2.13.0"


def test_two_machines_are_both_told(study_folder: Path) -> None:
    other = {"torch": "2.14.0", "device": "NVIDIA | H200", "threads": 8}
    save_result(study_folder, result(["table2/vae"], "all", seed=0, environment=other))
    facts = _facts(study_folder)
    assert facts["hardware"] == "NVIDIA / H200, threads: 8; x86_64 CPU, threads: 1"
    assert facts["software"] == "monai 1.6.1, torch 2.13.0 and 2.14.0"


def test_a_study_without_results_has_its_plan(make_study: Callable[..., Path]) -> None:
    facts = _facts(make_study(seeds=0, cost=False))
    assert facts["results"] == "0 evaluations"
    assert not {"seeds", "hardware", "software", "weights", "cost measured on"} & facts.keys()


def test_every_run_has_a_row_with_its_effort(study_folder: Path) -> None:
    save_result(study_folder, result(["controls/tau_0_5"], teacher="0123456789", best_epoch=None))
    lines = runs_table(read_study(study_folder)).splitlines()
    assert len(lines) == 2 + len(list((study_folder / "runs").iterdir()))
    (row,) = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if "tau_0_5" in line)
    record = read_json(study_folder / "runs" / "controls_tau_0_5_t2_0.json")
    assert row == [
        *("controls/tau_0_5", "t2", "0", "- of 60", "2.40", "10.0", "900"),
        record["config_hash"][:8],
        "01234567",
    ]

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.cli import main
from pkdr_monai.files import write_json
from pkdr_monai.networks import PatchVNet, describe_network
from tests.cli.test_info import CARD
from tests.conftest import exit_code


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training's folder, as far as an evaluation looks at it."""
    network = describe_network(PatchVNet(1, init_filters=2))
    write_json(tmp_path / "pkdr_t2" / "models" / "model.json", {**CARD, "network": network})
    (tmp_path / "pkdr_t2" / "models" / "model.pt").touch()
    return tmp_path / "pkdr_t2"


def test_card_says_what_to_evaluate(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("pkdr_monai.workflow.run_bundle", lambda *words: seen.append(words))
    main(["evaluate", str(run), "--split", "validation"])
    ((run_id, files, options),) = seen
    assert (run_id, [file.name for file in files]) == ("evaluating", ["train.json", "evaluate.json"])
    assert options["network_def"]["init_filters"] == 2
    assert (options["modality"], options["evaluation_split"]) == ("t2", "validation")
    assert options["checkpoint"] == str(run / "models" / "model.pt")
    assert options["output_dir"] == str(run)


def test_dry_run_only_prints(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(run), "--dry_run"])
    assert capsys.readouterr().out.startswith("python -m monai.bundle run evaluating --config_file")


def test_folder_without_a_model_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("evaluate", tmp_path) == 2
    assert "error: no model found in" in capsys.readouterr().err


def test_unknown_part_of_a_data_list_ends_with_2(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("evaluate", run, "--split", "exam") == 2
    assert "expected training or validation or test, got 'exam'" in capsys.readouterr().err


def test_save_pred_is_passed_on_only_where_it_is_asked_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("pkdr_monai.workflow.run_bundle", lambda *words: seen.append(words))
    main(["evaluate", str(run), "--save_pred"])
    main(["evaluate", str(run)])
    (_, _, asked), (_, _, plain) = seen
    assert asked["save_pred"] is True
    assert "save_pred" not in plain


def test_the_et_rule_and_the_old_scoring_are_passed_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("pkdr_monai.workflow.run_bundle", lambda *words: seen.append(words))
    main(["evaluate", str(run), "--et_rule", "500", "--scoring", "channels"])
    main(["evaluate", str(run)])
    (_, _, asked), (_, _, plain) = seen
    assert (asked["et_rule"], asked["scoring"]) == (500, "channels")
    assert not {"et_rule", "scoring"} & set(plain)


@pytest.mark.parametrize("words", [["--save_pred"], ["--et_rule", "500"], ["--scoring", "channels"]])
def test_what_subsets_do_not_take_is_refused(run: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert exit_code("evaluate", run, "--subsets", *words) == 2
    assert f"{words[0]} is for one model and its modalities" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--et_rule", "-1"], "et_rule is a volume in mm³, 0 or more, got -1"),
        (["--scoring", "argmax"], "expected nested or channels, got 'argmax'"),
    ],
)
def test_options_out_of_range_end_with_2(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert exit_code("evaluate", run, *words) == 2
    assert complaint in capsys.readouterr().err

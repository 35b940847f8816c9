"""A result is read whole, or refused with a sentence that names its file."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.studies import read_results
from tests.studies.results.conftest import result, save_result, with_et_rule


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = result(["table1/pkdr", "table3/full"], seed=2)
    save_result(tmp_path, record)
    (read,) = read_results(tmp_path)
    assert read.cells == ("table1/pkdr", "table3/full")
    assert (read.modality, read.seed, read.best_epoch, read.epochs) == ("t2", 2, 50, 60)
    assert read.cases == record["cases"]


def test_a_folder_without_runs_has_no_results(tmp_path: Path) -> None:
    assert read_results(tmp_path) == ()


@pytest.mark.parametrize(
    ("written", "read"), [("flair+t1", "t1+flair"), ("t1,t1ce,t2,flair", "all"), ("all", "all"), ("T2", "t2")]
)
def test_one_choice_of_sequences_has_one_spelling(tmp_path: Path, written: str, read: str) -> None:
    save_result(tmp_path, result(["a/b"], written))
    assert read_results(tmp_path)[0].modality == read


def test_a_sequence_that_does_not_exist_is_named(tmp_path: Path) -> None:
    save_result(tmp_path, result(["a/b"], "t3"))
    with pytest.raises(InputError, match=r"a_b_t3_0.json: unknown modality 't3'"):
        read_results(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = save_result(tmp_path, result(["table1/pkdr"]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=f"{path.name} is not valid JSON"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "0"), ("seed", True), ("cells", []), ("cells", [1]), ("cases", {}), ("cases", []), ("teacher", 3)],
)
def test_what_is_of_the_wrong_kind_is_named(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "runs" / "broken.json"
    write_json(path, {**result(["table1/pkdr"]), name: value})
    with pytest.raises(InputError, match=f"{path.name}.*(expected {name}|holds no case)"):
        read_results(tmp_path)


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    record = result(["table1/pkdr"])
    del record["parameters"]
    save_result(tmp_path, record)
    with pytest.raises(InputError, match=r"expected parameters to be int, got None"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("metric", "value"), [("dice", 1.01), ("dice", -0.1), ("dice", None), ("hd95", math.inf), ("hd95", math.nan)]
)
def test_a_score_that_cannot_be_is_named(tmp_path: Path, metric: str, value: float | None) -> None:
    record = copy.deepcopy(result(["table1/pkdr"]))
    record["cases"]["Phantom18_0002_1"][metric]["et"] = value
    save_result(tmp_path, record)
    with pytest.raises(InputError, match=f"case Phantom18_0002_1: expected {metric} of et"):
        read_results(tmp_path)


def test_scores_after_the_et_rule_are_read_and_must_be_whole(tmp_path: Path) -> None:
    record = with_et_rule(result(["table1/pkdr"]))
    save_result(tmp_path, record)
    assert read_results(tmp_path)[0].et_rule == 500
    del record["cases"]["Phantom18_0002_1"]["hd95_et_rule"]
    save_result(tmp_path, record)
    with pytest.raises(InputError, match="case Phantom18_0002_1: expected hd95 of et after the ET rule"):
        read_results(tmp_path)


def test_an_et_rule_of_another_volume_is_refused(tmp_path: Path) -> None:
    save_result(tmp_path, {**with_et_rule(result(["table1/pkdr"])), "et_rule": 100})
    with pytest.raises(InputError, match="expected et_rule to be 0 or 500 mm³, got 100"):
        read_results(tmp_path)


@pytest.mark.parametrize("name", ["split_hash", "checkpoint"])
def test_results_of_two_studies_are_not_mixed(tmp_path: Path, name: str) -> None:
    save_result(tmp_path, result(["table1/pkdr"], seed=0))
    save_result(tmp_path, result(["table1/pkdr"], seed=1, **{name: "other"}))
    with pytest.raises(InputError, match=rf"pkdr_t2_0.json and .*pkdr_t2_1.json .*{name}"):
        read_results(tmp_path)


def test_results_on_other_cases_are_not_mixed(tmp_path: Path) -> None:
    save_result(tmp_path, result(["table1/pkdr"], seed=0, cases=4))
    save_result(tmp_path, result(["table1/pkdr"], seed=1, cases=5))
    with pytest.raises(InputError, match=r"not scored on the same cases: Phantom18_0004_1"):
        read_results(tmp_path)


def test_one_cell_and_seed_may_not_come_twice(tmp_path: Path) -> None:
    save_result(tmp_path, result(["table1/pkdr", "table3/full"]))
    save_result(tmp_path, result(["table3/full"]))
    with pytest.raises(InputError, match=r"both hold table3/full on t2 with seed 0"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "refused"), [("a", "b", True), ("a", "a", False), ("a", None, False), (None, None, False)]
)
def test_settings_changed_between_two_seeds_are_named(
    tmp_path: Path, one: str | None, other: str | None, refused: bool
) -> None:
    hashes = [{} if method is None else {"method_hash": method} for method in (one, other)]
    first, second = (save_result(tmp_path, result(["a/b"], seed=seed, **hashes[seed])) for seed in (0, 1))
    if not refused:
        assert [each.method_hash for each in read_results(tmp_path)] == [one, other]
        return
    with pytest.raises(
        InputError, match=f"{first.name} and .*{second.name} both hold a/b on t2, with different settings"
    ):
        read_results(tmp_path)


def test_method_hash_is_text(tmp_path: Path) -> None:
    save_result(tmp_path, result(["a/b"], method_hash=3))
    with pytest.raises(InputError, match="expected method_hash to be text, got 3"):
        read_results(tmp_path)

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.cli import main
from pkdr_monai.data import load_data_list
from tests.conftest import exit_code


def test_sound_data_set_passes_the_check(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", str(dataset)])
    assert capsys.readouterr().out == "cases: 3 (labels of scheme brats2018), errors: 0, warnings: 0\n"


def test_check_shows_a_table_and_ends_with_2_on_errors(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "001/001_t1.nii.gz").write_bytes(b"broken")
    assert exit_code("data", "check", dataset) == 2
    output = capsys.readouterr()
    assert output.out.splitlines()[1].startswith("error     001   001/001_t1.nii.gz  it is named .gz")
    assert "errors: 1, warnings: 0" in output.out
    assert output.err == "error: repair the files, or leave the cases out with --exclude 001\n"


def test_names_that_look_like_numbers_can_be_excluded(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "001/001_t1.nii.gz").write_bytes(b"broken")
    main(["data", "check", str(dataset), "--exclude", "001"])
    main(["data", "check", str(dataset), "--exclude=001,1e5"])
    assert [line[:8] for line in capsys.readouterr().out.splitlines()] == ["cases: 2", "cases: 1"]


def test_incomplete_cases_are_counted_where_a_training_takes_them(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "001/001_t1.nii.gz").unlink()
    assert exit_code("data", "check", dataset) == 2
    assert "no t1 file" in capsys.readouterr().out
    main(["data", "check", str(dataset), "--incomplete"])
    assert capsys.readouterr().out.splitlines() == [
        "cases: 3 (labels of scheme brats2018), errors: 0, warnings: 0",
        "cases that lack a modality, and can only train a student for any subset: 1 (t1: 1)",
    ]
    for path in dataset.glob("*/*_flair.nii.gz"):
        path.unlink()
    assert exit_code("data", "check", dataset, "--incomplete") == 2
    assert "no case has flair" in capsys.readouterr().err


def test_scans_without_any_label_are_not_faulted_for_it(
    write_case: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    modalities = ("t1", "t1ce", "t2", "flair")
    main(["data", "check", str(write_case("a", {modality: f"a_{modality}.nii" for modality in modalities}))])
    assert capsys.readouterr().out == "cases: 1 (no labels), errors: 0, warnings: 0\n"


def test_split_writes_a_data_list(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "list.json"
    main(["data", "split", str(dataset), "--output", str(output), "--seed", "3"])
    data_list = json.loads(output.read_text())
    assert data_list["seed"] == 3
    assert sorted(entry["case"] for part in ("training", "validation", "test") for entry in data_list[part]) == [
        "001",
        "1e5",
        "c",
    ]
    assert f"{output}: training: 1, validation: 1, test: 1" in capsys.readouterr().out


def test_split_follows_a_given_file(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["001", "c"], "val": ["1e5"]}))
    main(
        [
            "data",
            "split",
            str(dataset),
            "--output",
            str(tmp_path / "list.json"),
            "--split",
            str(tmp_path / "split.json"),
        ]
    )
    assert [entry["case"] for entry in json.loads((tmp_path / "list.json").read_text())["training"]] == ["001", "c"]


def test_other_data_list_is_replaced_only_with_force(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "list.json"
    split = ("data", "split", dataset, "--output", output)
    main(list(map(str, split)))
    before = output.read_text()
    main(list(map(str, split)))  # the same again is no conflict
    assert exit_code(*split, "--exclude", "c") == 2
    assert "replace it with --force" in capsys.readouterr().err
    assert output.read_text() == before
    main([*map(str, split), "--exclude", "c", "--force"])
    assert output.read_text() != before


def test_output_that_cannot_be_written_is_one_sentence(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("data", "split", dataset, "--output", dataset / "001/001_t1.nii.gz/list.json") == 2
    assert capsys.readouterr().err.startswith("error: cannot write")


def test_demo_takes_one_number_for_all_axes_or_three(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[dict[str, object]] = []
    monkeypatch.setattr("pkdr_monai.phantom.write_cohort", lambda folder, **options: calls.append(options))
    main(["data", "demo", "demo", "--cases", "8", "--shape", "80,80,64", "--spacing", "2.5"])
    del calls[0]["progress"]
    assert calls == [{"cases": 8, "shape": (80, 80, 64), "spacing": (2.5, 2.5, 2.5), "seed": 0, "model": "brats2018"}]
    assert "Next: pkdr data split demo" in capsys.readouterr().out
    main(["data", "demo", "demo", "--wide"])
    assert calls[1]["model"] == "wide"


def test_check_writes_page_and_fingerprint_of_the_sound_cases(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "001/001_t1.nii.gz").write_bytes(b"broken")
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    assert exit_code("data", "check", dataset, "--report", page, "--fingerprint", figures) == 2
    assert f"{figures}: fingerprint of 2 cases\n{page}: 0.0" in capsys.readouterr().out
    assert [entry["case"] for entry in json.loads(figures.read_text())["cases"]] == ["1e5", "c"]
    assert "it is named .gz but is not compressed" in page.read_text()


def test_fingerprint_that_cannot_be_written_is_one_sentence(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("data", "check", dataset, "--fingerprint", dataset / "001/001_t1.nii.gz/f.json") == 2
    assert capsys.readouterr().err.endswith("choose another --fingerprint.\n")


def test_page_that_cannot_be_written_is_one_sentence(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("data", "check", dataset, "--report", dataset / "001/001_t1.nii.gz/page.html") == 2
    assert capsys.readouterr().err.endswith("choose another place for it.\n")


def test_folds_are_written_beside_each_other(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "split", str(dataset), "--output", str(tmp_path / "list.json"), "--folds", "3", "--validation", "1"])
    files = [tmp_path / f"list_fold{fold}.json" for fold in range(3)]
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()] == [str(file) for file in files]
    assert [load_data_list(file)["fold"] for file in files] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--validation", "2"], "it needs --folds"),
        (["--folds", "3", "--split", "split.json"], "--folds and --split exclude each other"),
        (["--folds", "9"], "no more than the 3 patients, got 9"),
    ],
)
def test_folds_that_do_not_fit_end_with_2(
    dataset: Path, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("data", "split", dataset, *words) == 2
    assert complaint in capsys.readouterr().err


def test_split_keeps_together_what_a_table_gives_to_one_patient(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("case,patient\n001,P\n1e5,Q\nc,P\n")
    output, table = tmp_path / "list.json", tmp_path / "patients.csv"
    main(["data", "split", str(dataset), "--output", str(output), "--patients", str(table)])
    data_list = json.loads(output.read_text())
    parts = [{entry["case"] for entry in data_list[part]} for part in ("training", "validation", "test")]
    assert {"001", "c"} in parts


def test_the_next_command_can_be_copied_whatever_the_folder_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my cohort"
    main(["data", "demo", str(folder), "--cases", "1", "--shape", "48", "--spacing", "4"])
    assert f"Next: pkdr data split '{folder}' --output" in capsys.readouterr().out


def test_a_cohort_of_one_modality_is_checked_and_divided(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in dataset.rglob("*_t1.nii.gz"):
        path.unlink()
    assert exit_code("data", "check", dataset) == 2
    assert "--modality t1ce+t2+flair" in capsys.readouterr().err
    main(["data", "check", str(dataset), "--modality", "t1ce+t2+flair"])
    assert "errors: 0" in capsys.readouterr().out
    main(["data", "split", str(dataset), "--modality", "t2", "--output", str(tmp_path / "list.json")])
    assert load_data_list(tmp_path / "list.json")["modality"] == {"0": "T2"}

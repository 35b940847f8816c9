from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.cli import main
from tests.conftest import exit_code


def test_report_of_a_run_says_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.9\n2,0.5\n")
    main(["report", str(tmp_path)])
    page = tmp_path / "report.html"
    assert capsys.readouterr().out == f"{page}: {page.stat().st_size / 1e6:.2f} MB\n"


def test_every_option_reaches_the_report_as_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    (tmp_path / "page.html").touch()

    def note(*words: Any, **options: Any) -> Path:
        del options["progress"]
        calls.append((*words, options))
        return tmp_path / "page.html"

    monkeypatch.setattr("pkdr_monai.reporting.write_report", note)
    main(["report", "1e5", "--cases", "001,a", "--config_file", "i.json,o.yaml", "--dataset_dir", "7", "--output", "x"])
    (call,) = calls
    assert call[:2] == ("1e5", "x")
    expected = {"cases": ("001", "a"), "config_files": ("i.json", "o.yaml"), "dataset_dir": "7"}
    assert call[2] == {**expected, "data_list_file": None, "predictions": None, "label_scheme": None}


def test_folder_with_nothing_to_report_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("report", tmp_path) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds nothing to report")

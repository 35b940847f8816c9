from __future__ import annotations

from pathlib import Path

from pkdr_monai.data import Problem, find_cases
from pkdr_monai.data.fingerprint import fingerprint
from pkdr_monai.reporting.fingerprint import Thumbnails, write_fingerprint_page


def test_page_shows_figures_problems_and_a_slice_of_every_case(cohort: Path, tmp_path: Path) -> None:
    found = find_cases(cohort)
    thumbnails = Thumbnails(found.label_scheme)
    measured = fingerprint(found.cases, cohort, found.label_scheme, look=thumbnails)
    assert set(thumbnails.pictures) == {"a", "b", "c"}
    problems = [Problem("a", "a/a_t1.nii", "<b>odd</b>", "look", "warning"), Problem("d", ".", "no t2 file", "restore")]
    text = write_fingerprint_page(tmp_path / "page.html", measured, thumbnails.pictures, problems).read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    assert "3, 3 of them labelled" in text
    assert "8x9x7 (3)" in text
    assert "&lt;b&gt;odd&lt;/b&gt;" in text
    assert text.index("no t2 file") < text.index("&lt;b&gt;odd")  # errors first
    assert "This page holds images" in text


def test_data_set_without_a_sound_case_is_a_page_of_problems(tmp_path: Path) -> None:
    measured = fingerprint([], tmp_path, "brats2018")
    text = write_fingerprint_page(
        tmp_path / "page.html", measured, {}, [Problem("d", ".", "no t2", "restore")]
    ).read_text()
    assert "no t2" in text
    assert 'id="pictures"' not in text

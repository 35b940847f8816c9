from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting import write_report

HOSTILE = "<script>document.title=1<"


class _Sections(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self.found.append(str(dict(attrs)["id"]))


def _sections(page: Path) -> list[str]:
    parser = _Sections()
    parser.feed(page.read_text())
    return parser.found


def test_run_with_its_data_set_shows_everything(make_run: Callable[..., Path], cohort: Path) -> None:
    page = write_report(make_run(weights=True), dataset_dir=cohort, cases=["b"])
    assert _sections(page) == ["scores", "cases", "pictures", "viewer", "training", "calibration", "record"]
    text = page.read_text()
    assert "not a medical device" in text
    assert "This page holds images" in text


def test_run_alone_is_reported_and_says_what_would_show_images(make_run: Callable[..., Path]) -> None:
    page = write_report(make_run())
    assert page.name == "report.html"
    assert _sections(page) == ["scores", "cases", "training", "record", "missing"]
    assert "pass --dataset_dir" in page.read_text()
    assert "This page holds images" not in page.read_text()


def test_predictions_are_scored_where_the_data_set_has_labels(
    make_predictions: Callable[..., Path], cohort: Path, tmp_path: Path
) -> None:
    page = write_report(make_predictions(), tmp_path / "out" / "page.html", dataset_dir=cohort)
    assert _sections(page) == ["scores", "cases", "pictures", "viewer", "calibration", "missing"]
    assert "Pooled over the brain of 3 cases: a, b, c." in page.read_text()


def test_same_run_gives_the_same_page(make_run: Callable[..., Path], cohort: Path, tmp_path: Path) -> None:
    run = make_run(weights=True)
    pages = [write_report(run, tmp_path / name, dataset_dir=cohort).read_bytes() for name in ("1.html", "2.html")]
    assert pages[0] == pages[1]


def test_name_of_a_case_is_text_and_nothing_else(
    make_run: Callable[..., Path], write_case: Callable[..., Path]
) -> None:
    page = write_report(make_run([HOSTILE], weights=True), dataset_dir=write_case(HOSTILE))
    text = page.read_text()
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;document.title=1&lt;") >= 4


def test_page_names_no_address_that_could_be_loaded(make_run: Callable[..., Path]) -> None:
    text = re.sub(r"<script>.*?</script>", "", write_report(make_run()).read_text(), flags=re.DOTALL)
    assert not re.search(r"(?:src|href|srcset)=\"(?!data:|#)", text)
    assert "url(" not in text
    assert "@import" not in text


def test_options_that_need_images_say_so(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run()
    with pytest.raises(InputError, match="to show a, the report needs its images: add --dataset_dir"):
        write_report(run, cases=["a"])
    with pytest.raises(InputError, match="are of use with images only"):
        write_report(run, predictions=tmp_path)


def test_case_that_is_not_there_is_refused_before_anything_is_computed(
    make_run: Callable[..., Path], cohort: Path
) -> None:
    run = make_run()
    with pytest.raises(InputError, match="has no case 'd'"):
        write_report(run, dataset_dir=cohort, cases=["d"])
    assert not (run / "report.html").exists()

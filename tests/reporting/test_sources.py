from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data import make_data_list
from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.reporting.run import Run, read_run
from pkdr_monai.reporting.sources import open_sources


def test_predictions_come_from_a_folder_where_one_is_named(
    make_run: Callable[..., Path], make_predictions: Callable[..., Path], cohort: Path
) -> None:
    sources = open_sources(read_run(make_run(weights=True)), cohort, predictions=make_predictions(["a"]))
    assert sources.modalities == ("t2",)
    assert list(sources.scan("a").regions) == ["truth", "prediction"]
    assert list(sources.scan("b").regions) == ["truth"]


def test_run_without_weights_shows_the_truth_alone(make_run: Callable[..., Path], cohort: Path) -> None:
    assert list(open_sources(read_run(make_run()), cohort).scan("a").regions) == ["truth"]


def test_cases_come_from_the_data_list_where_one_is_named(cohort: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "list.json", make_data_list(cohort, exclude=["c"]))
    assert set(open_sources(Run(cohort), cohort, tmp_path / "list.json").cases) == {"a", "b"}


def test_case_that_is_not_there_is_named_with_the_nearest(cohort: Path) -> None:
    with pytest.raises(InputError, match=r"has no case 'aa'\. Did you mean 'a'"):
        open_sources(Run(cohort), cohort).require(["aa"])


def test_wrong_options_are_one_sentence(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no segmentation"):
        open_sources(Run(cohort), cohort, predictions=tmp_path / "empty")
    with pytest.raises(InputError, match="unknown label_scheme"):
        open_sources(Run(cohort), cohort, label_scheme="brats")

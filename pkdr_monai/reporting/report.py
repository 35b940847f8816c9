"""The report of a run: one HTML file to read, to sort, to look through, and to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.content import report_content
from pkdr_monai.reporting.gallery import Gallery, measure_all, picture_cases, preview_cases
from pkdr_monai.reporting.page import VIEWER_LIBRARY, write_page
from pkdr_monai.reporting.run import Run, read_run
from pkdr_monai.reporting.scores import worst_cases
from pkdr_monai.reporting.sources import Sources, open_sources

__all__ = ["write_report"]

WORST = 5

ProgressOf = Callable[[str], Callable[[int, int], None]]


def write_report(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    dataset_dir: str | Path | None = None,
    data_list_file: str | Path | None = None,
    predictions: str | Path | None = None,
    cases: Sequence[str] = (),
    config_files: Sequence[str | Path] = (),
    label_scheme: str | None = None,
    progress: ProgressOf | None = None,
) -> Path:
    """Write what a run did, and how well, into one HTML file that opens from disk without a network.

    What the folder does not hold is left out, and the report says so. With a data set it shows the five worst cases,
    and those asked for, with truth and prediction, as pictures and in a viewer. Such a page holds images of patients.

    Args:
        folder: a training run such as ``runs/pkdr_t2``, or a folder of predictions.
        output: the file to write; ``report.html`` in the folder by default.
        dataset_dir: the data set's folder, for images and labels.
        data_list_file: its data list; without one, the folder is searched.
        predictions: segmentations of the cases; without them the run's own network segments those that are shown.
        cases: names of further cases to show.
        config_files: inference.json and overlays on it, for a run whose network is not the default.
        label_scheme: of the segmentations, where it is not that of the data set.
        progress: makes, of what is being done, a function to call with the number of cases done and their total.

    Returns:
        The file.

    Raises:
        InputError: when the folder holds nothing to report, or an option is not what it should be.

    Example:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp())
        >>> _ = (run / "history.csv").write_text("epoch,loss\\n1,0.9\\n2,0.5\\n")
        >>> write_report(run).name
        'report.html'
    """
    run = read_run(folder)
    if dataset_dir is not None:
        sources = open_sources(run, dataset_dir, data_list_file, predictions, config_files, label_scheme)
        run, gallery = _with_images(run, cases, sources, progress)
    elif data_list_file or predictions or config_files:
        raise InputError("a data list, predictions or configs are of use with images only: add --dataset_dir.")
    else:
        gallery = _without_images(run, cases)
    content = report_content(run, gallery, dataset_dir is not None, label_scheme)
    library = (VIEWER_LIBRARY, "assets/viewer.js") if gallery.viewer else ()
    return write_page(output or run.folder / "report.html", "report.html.j2", ("assets/sort.js", *library), content)


def _with_images(run: Run, cases: Sequence[str], sources: Sources, progress: ProgressOf | None) -> tuple[Run, Gallery]:
    """Picture the cases; score segmentations first, where no evaluation did."""
    from pkdr_monai.reporting.calibration import Calibration  # here, because it loads torch and MONAI

    sources.require(cases)
    calibration, notes = Calibration(), list[str]()
    if run.segmentations and not run.scores:
        names = [name for name in run.segmentations if name in sources.cases]
        scores, notes = measure_all(names, sources, calibration, progress and progress("measuring"))
        run = replace(run, scores=scores)
    pictured = None if calibration.cases else calibration  # cases that were measured are in it
    gallery = picture_cases(_chosen(run, cases), sources, pictured, progress=progress and progress("picturing"))
    return run, replace(gallery, calibration=calibration, notes=notes + gallery.notes)


def _without_images(run: Run, cases: Sequence[str]) -> Gallery:
    unknown = [name for name in cases if name not in run.segmentations]
    if unknown:
        raise InputError(
            f"to show {unknown[0]}, the report needs its images: add --dataset_dir, the data set's folder."
        )
    return preview_cases(_chosen(run, cases), run.segmentations)


def _chosen(run: Run, cases: Sequence[str]) -> list[str]:
    """Return the worst cases, or the first where none is scored, and then those asked for."""
    chosen = worst_cases(run.scores, WORST) or list(run.segmentations)[:WORST]
    return list(dict.fromkeys([*chosen, *cases]))

"""The report of a run: an HTML page that needs no network, and what it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.figures import box_plots, reliability_curves, training_curves
from pkdr_monai.reporting.gallery import Gallery, measure_all, picture_cases, preview_cases
from pkdr_monai.reporting.page import VIEWER_LIBRARY, Cell, Table, number_cell, write_page
from pkdr_monai.reporting.run import METRICS, Run, facts, read_run, summarise, worst_cases
from pkdr_monai.reporting.sources import Sources, open_sources

__all__ = ["report_content", "write_report"]

TITLES = {
    "scores": "Scores",
    "cases": "Cases",
    "pictures": "Pictures",
    "viewer": "Viewer",
    "training": "Training",
    "calibration": "Calibration",
    "record": "Record",
    "missing": "Not here",
}


def report_content(run: Run, gallery: Gallery, with_images: bool, label_scheme: str | None = None) -> dict[str, Any]:
    """Return everything that ``report.html.j2`` names.

    Args:
        run: the run, with its scores.
        gallery: its cases.
        with_images: whether a data set was given.
        label_scheme: of segmentations that are shown without a data set.
    """
    reliability = gallery.calibration.regions() if gallery.calibration else {}
    metrics = {name: cases for name, cases in run.scores.items() if cases}
    content: dict[str, Any] = {
        "kind": "Predictions" if run.segmentations else "Training run",
        "title": run.name,
        "lead": _lead(run),
        "headline": _headline(run),
        "summaries": {METRICS[name]: summarise(cases) for name, cases in metrics.items()},
        "boxes": box_plots(metrics) if metrics else None,
        "case_table": _score_table(metrics, gallery) if metrics else _volume_table(run, gallery, label_scheme),
        "pictured": gallery.pictured,
        "picture_title": "The worst cases, and those asked for" if metrics else "Cases",
        "images": bool(gallery.pictured),
        "viewer_cases": gallery.viewer,
        "curves": training_curves(run.history) if run.history else None,
        "reliability": reliability,
        "reliability_figure": reliability_curves(reliability) if reliability else None,
        "calibrated": gallery.calibration.cases if gallery.calibration else [],
        "calibration_note": _calibration_note(run, gallery),
        "bins": _bins(reliability),
        "facts": facts(run),
        "missing": [*_missing(run, gallery, with_images), *gallery.notes],
    }
    shown = ("summaries", "case_table", "pictured", "viewer_cases", "curves", "reliability", "facts", "missing")
    content["sections"] = {
        anchor: title for (anchor, title), name in zip(TITLES.items(), shown, strict=True) if content[name]
    }
    return content


def _lead(run: Run) -> list[str]:
    modalities, environment = run.settings.get("modalities"), run.record.get("environment")
    parts = []
    if isinstance(modalities, list):
        parts.append(f"Sees {', '.join(map(str, modalities)).upper()}")
    if run.record.get("status"):
        finished = str(run.record.get("finished") or run.record.get("updated") or "")
        parts.append(f"{run.record['status']} {finished[:16].replace('T', ' ')}".strip())
    if isinstance(environment, Mapping) and environment.get("device"):
        parts.append(f"on {environment['device']}")
    return [", ".join(parts) + "."] if parts else []


def _headline(run: Run) -> list[dict[str, str]]:
    figures = []
    for name, cases in run.scores.items():
        metric, regions = METRICS[name], summarise(cases)
        for region, summary in regions.items():
            unit = f"\N{NO-BREAK SPACE}{metric.unit}" if metric.unit else ""
            label = f"{metric.title} {region.upper()}, mean of {summary.count}"
            figures.append({"value": f"{summary.mean:.{metric.decimals}f}{unit}", "name": label})
    return figures


def _score_table(scores: Mapping[str, Mapping[str, tuple[float, ...]]], gallery: Gallery) -> Table:
    links = _links(gallery)
    headings = ["case"]
    for name in scores:
        headings += [f"{METRICS[name].title} {part}" for part in (*map(str.upper, REGIONS), "mean")]
    cases = sorted({case for values in scores.values() for case in values})
    rows = []
    for case in cases:
        row = [Cell(case, case, links.get(case, ""))]
        for name, values in scores.items():
            regions = values.get(case, (math.nan,) * len(REGIONS))
            row += [number_cell(value, METRICS[name].decimals) for value in (*regions, float(np.mean(regions)))]
        rows.append(row)
    return Table(headings, rows)


def _volume_table(run: Run, gallery: Gallery, label_scheme: str | None) -> Table | None:
    """Return the predicted volumes of segmentations that nobody scored."""
    if not run.segmentations:
        return None
    links, rows = _links(gallery), []
    noted = run.settings.get("label_scheme") or run.record.get("label_scheme") or "brats2018"
    for case, segmentation in run.segmentations.items():
        predicted = segmentation.read(label_scheme or str(noted))
        millilitres = abs(np.linalg.det(predicted.affine[:3, :3])) / 1000
        volumes = predicted.regions.sum(axis=(1, 2, 3)) * millilitres
        rows.append([Cell(case, case, links.get(case, "")), *(number_cell(float(volume), 1) for volume in volumes)])
    return Table(["case", *(f"{region.upper()} (ml)" for region in REGIONS)], rows)


def _links(gallery: Gallery) -> dict[str, str]:
    return {case.name: f"picture-{place}" for place, case in enumerate(gallery.pictured)}


def _bins(reliability: Mapping[str, Any]) -> list[str]:
    count = len(next(iter(reliability.values())).voxels) if reliability else 0
    return [f"{place / count:.1f} to {(place + 1) / count:.1f}" for place in range(count)]


def _calibration_note(run: Run, gallery: Gallery) -> str:
    scored = len(run.scores.get("dice", {}))
    if gallery.calibration is None or len(gallery.calibration.cases) >= scored:
        return ""
    return (
        f"{scored} cases were scored; these are the worst and those asked for, so expect better of all together. "
        "Predictions of all cases, with probabilities, give the whole picture."
    )


def _missing(run: Run, gallery: Gallery, with_images: bool) -> list[str]:
    """Say what the folder or the options did not bring, and what would."""
    training = not run.segmentations
    lacks = {
        "Settings, hashes and versions: there is no run.json.": not run.record,
        "Training curves: there is no history.csv.": training and not run.history,
        "Scores: there is no evaluation/ in the folder. Evaluate the run first (evaluate.json).": training
        and not run.scores,
        "HD95: the evaluation has no val_hd95_raw.csv.": "dice" in run.scores and "hd95" not in run.scores,
        "Pictures, the viewer and calibration: pass --dataset_dir, the data set's folder, and --data_list_file where "
        "the cases come from one.": not with_images,
        "Scores: none of the cases that were found has a label.": with_images and not training and not run.scores,
        "Calibration: no probabilities were at hand.": with_images
        and bool(gallery.pictured)
        and not (gallery.calibration and gallery.calibration.cases),
    }
    return [note for note, absent in lacks.items() if absent]


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
    from pkdr_monai.reporting.computed import Calibration  # here, because it loads torch and MONAI

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

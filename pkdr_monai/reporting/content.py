"""What a report's template shows: numbers as text, tables as rows, and a sentence for all that is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.figures import box_plots, reliability_curves, training_curves
from pkdr_monai.reporting.gallery import Gallery
from pkdr_monai.reporting.page import Cell, Table, number_cell
from pkdr_monai.reporting.run import Run, facts
from pkdr_monai.reporting.scores import METRICS, summarise

__all__ = ["report_content"]

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

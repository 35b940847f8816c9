"""The page of a data set: what is in it, what is wrong with it, and a look at every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.fingerprint import CaseVolumes
from pkdr_monai.data.headers import describe_shape
from pkdr_monai.data.problems import Problem
from pkdr_monai.regions import REGIONS, scheme_labels
from pkdr_monai.reporting.gallery import thumbnail
from pkdr_monai.reporting.page import ABSENT, Cell, Table, number_cell, write_page
from pkdr_monai.reporting.volumes import canonical

__all__ = ["Thumbnails", "write_fingerprint_page"]

CODES = {"ncr": 1, "ed": 2, "et": 3, "cyst": 1, "cavity": 0}  # of the tissues in a thumbnail, as regions hold them


class Thumbnails:
    """Draw every case while its fingerprint is taken; hand it over as ``look``.

    Args:
        label_scheme: scheme of the labels.
    """

    def __init__(self, label_scheme: str) -> None:
        self.values = scheme_labels(label_scheme)
        self.pictures: dict[str, str] = {}

    def __call__(self, case: Case, volumes: CaseVolumes) -> None:
        """Draw one case."""
        images = [canonical(image, volumes.affine)[0] for image in volumes.images.values()]
        tissue = None
        if volumes.label is not None:
            tissue = np.zeros(volumes.label.shape, np.uint8)
            for name, value in self.values.items():
                tissue[volumes.label == value] = CODES[name]
            tissue, _ = canonical(tissue, volumes.affine)
        self.pictures[case.name] = thumbnail(images, tissue)


def write_fingerprint_page(
    path: str | Path,
    fingerprint: Mapping[str, Any],
    pictures: Mapping[str, str],
    problems: Sequence[Problem] = (),
) -> Path:
    """Write the page of a data set; it holds images of patients.

    Args:
        path: the file to write.
        fingerprint: as :func:`pkdr_monai.data.fingerprint.fingerprint` returns it.
        pictures: picture of each case, as :class:`Thumbnails` draws it.
        problems: what a check found.

    Raises:
        InputError: when the file cannot be written.
    """
    cases = fingerprint["cases"]
    content: dict[str, Any] = {
        "kind": "Data set",
        "title": fingerprint["name"],
        "images": bool(pictures),
        "summary": _summary_tables(fingerprint),
        "spreads": {
            "Volumes in ml": {region.upper(): row for region, row in fingerprint["summary"]["volumes_ml"].items()},
            "Median intensity": fingerprint["summary"]["median_intensities"],
        },
        "problems": sorted(problems, key=lambda problem: (problem.severity != "error", problem.case)),
        "case_table": _case_table(cases) if cases else None,
        "pictures": [
            {"name": entry["case"], "picture": pictures[entry["case"]], "modalities": list(entry["intensities"])}
            for entry in cases
            if entry["case"] in pictures
        ],
    }
    titles = {"summary": "Summary", "problems": "Problems", "case_table": "Cases", "pictures": "Pictures"}
    content["sections"] = {name: title for name, title in titles.items() if content[name]}
    return write_page(path, "fingerprint.html.j2", ("assets/sort.js",), content)


def _summary_tables(fingerprint: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    summary = fingerprint["summary"]
    rows = {"cases": f"{summary['cases']}, {summary['labelled']} of them labelled"}
    rows["label scheme"] = fingerprint["label_scheme"]
    for name in ("grades", "shapes", "spacings_mm", "orientations"):
        counts = [f"{value} ({count})" for value, count in summary[name].items()]
        if counts:
            rows[name.replace("_mm", " (mm)")] = ", ".join(counts)
    absent = [f"{region.upper()} in {count}" for region, count in summary["without_region"].items() if count]
    if absent:
        rows["region absent"] = ", ".join(absent)
    return {"Data set": rows}


def _case_table(cases: Sequence[Mapping[str, Any]]) -> Table:
    modalities = list(dict.fromkeys(modality for entry in cases for modality in entry["intensities"]))
    headings = ["case", "grade", "shape", "spacing (mm)", "orientation"]
    headings += [f"{region.upper()} (ml)" for region in REGIONS] + [f"{modality} median" for modality in modalities]
    rows = []
    for place, entry in enumerate(cases):
        spacing = "x".join(f"{size:g}" for size in entry["spacing_mm"])
        texts = (entry.get("grade", ABSENT), describe_shape(tuple(entry["shape"])), spacing, entry["orientation"])
        volumes = [entry.get("volumes_ml", {}).get(region) for region in REGIONS]
        medians = [entry["intensities"].get(modality, {}).get("median") for modality in modalities]
        rows.append(
            [
                Cell(entry["case"], entry["case"], f"picture-{place}"),
                *(Cell(text, text) for text in texts),
                *(number_cell(value, 1) for value in (*volumes, *medians)),
            ]
        )
    return Table(headings, rows)

"""A DICOM study prepared and segmented in one go, with the result as NIfTI and as DICOM Segmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.inference.cohort import Shard
from pkdr_monai.prepare.brain import SKULL_STRIPPED, BrainSource
from pkdr_monai.prepare.dicom_seg import write_dicom_seg
from pkdr_monai.prepare.study import Prepared, prepare_study
from pkdr_monai.runs.models import read_model

__all__ = ["segment_study"]

PREPARED = "prepared"


def segment_study(
    source: str | Path,
    output: str | Path,
    segment: Callable[[Path, Path], dict[str, Any]],
    *,
    named: Mapping[str, str] | None = None,
    brain: BrainSource = SKULL_STRIPPED,
    n4: bool = False,
    dicom_seg: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Prepare a study below ``output/prepared`` and segment it into ``output``.

    Args:
        source: folder or zip of one study.
        output: folder for the results.
        segment: called with the folder of the prepared case and ``output``; returns what became of it, as
            :func:`pkdr_monai.inference.predict` does.
        named: the series to take, by modality.
        brain: where the brain comes from.
        n4: divide the bias field out of each brain.
        dicom_seg: write ``<case>_seg.dcm`` beside the label map, of the series whose grid it has.
        log: called with each line for people.

    Returns:
        What ``segment`` returned.

    Raises:
        InputError: as :func:`~pkdr_monai.prepare.study.prepare_study` and ``segment`` do.
    """
    if Shard.of_this_process().count > 1:
        raise InputError("a DICOM study is one case: run it without torchrun, or give the folder of pkdr prepare.")
    output = Path(output)
    record: dict[str, Any] = {}

    def use(prepared: Prepared) -> None:
        record.update(segment(prepared.folder, output))
        (case,) = record["cases"]
        if dicom_seg and case["status"] != "failed":
            path = _write(prepared, output, record, case)
            log(f"{prepared.case}: DICOM Segmentation in {path}")

    prepare_study(source, output / PREPARED, named=named, brain=brain, n4=n4, log=log, use=use)
    return record


def _write(prepared: Prepared, output: Path, record: Mapping[str, Any], case: Mapping[str, Any]) -> Path:
    """Write the segmentation of the series on whose own grid the label map lies."""
    models = record["models"]
    series = prepared.series[prepared.reference]
    scheme = record["settings"]["label_scheme"] or read_model(models[0]["weights"]).label_scheme
    label = output / prepared.case / f"{prepared.case}_seg.nii.gz"
    path = label.with_name(f"{prepared.case}_seg.dcm")
    write_dicom_seg(path, label, scheme, series, models)
    return path

"""From a DICOM study to the skull-stripped scan that ``pkdr predict`` takes, or at once to its segmentation."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkdr_monai.data.acquisition import Judgement, judge_study
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash
from pkdr_monai.inference.cohort import Shard
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.prepare.brain import SKULL_STRIPPED, BrainSource, read_mask
from pkdr_monai.prepare.case import CaseWriter, require_apart, require_n4
from pkdr_monai.prepare.dicom_files import holds_dicom, require_extra, unpack_zip
from pkdr_monai.prepare.dicom_seg import write_dicom_seg
from pkdr_monai.prepare.series import Series, convert_series, converter_version, read_series
from pkdr_monai.runs.models import read_model

__all__ = ["Prepared", "choose_series", "prepare_study", "segment_study"]

PREPARED = "prepared"


@dataclass(frozen=True)
class Prepared:
    """A study that was prepared.

    Args:
        case: its name, a hash of the study's UID.
        folder: holds its images, ``<case>_<modality>.nii.gz``, and ``prepare.json``.
        series: the series of each modality.
        reference: the modality on whose grid, its own, all images lie.
    """

    case: str
    folder: Path
    series: Mapping[str, Series]
    reference: str


def prepare_study(
    source: str | Path,
    output: str | Path,
    *,
    named: Mapping[str, str] | None = None,
    brain: BrainSource = SKULL_STRIPPED,
    n4: bool = False,
    log: Callable[[str], None] = lambda line: None,
    use: Callable[[Prepared], None] = lambda prepared: None,
) -> Prepared:
    """Convert the series of one DICOM study that show T1, T1ce, T2 or FLAIR, and take the brain out of them.

    Nothing is written into the source. Names of files, the record and the output hold hashes, and no name.

    Args:
        source: a folder with the DICOM files of one study of one patient, at any depth, or a zip of it.
        output: folder for the result, outside the source.
        named: the series to take, by modality, as their numbers or hashes; then these alone are taken.
        brain: where the brain comes from.
        n4: divide the bias field out of each brain.
        log: called with each line for people.
        use: called with the result while the files of its series, which may be those of a zip, are there.

    Returns:
        What was prepared.

    Raises:
        InputError: when the source is no DICOM study, no series is certain and none is named, series on different
            grids cannot be registered, or the brain is not known.
    """
    source, output = Path(source), Path(output)
    _require_source(source, output)
    require_extra()
    if brain.mask is not None:
        read_mask(brain.mask)  # before anything is converted
    if n4:
        require_n4()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=output) as scratch:
        folder = source
        if source.is_file():
            folder = Path(scratch, "zip")
            folder.mkdir()
            unpack_zip(source, folder)
        study = read_series(folder)
        judgements = judge_study([series.facts for series in study])
        for line in _describe(study, judgements):
            log(line)
        chosen = choose_series(study, judgements, named or {})
        case = f"study-{hashlib.sha256(study[0].study.encode()).hexdigest()[:12]}"
        volumes = {modality: convert_series(series, Path(scratch)) for modality, series in chosen.items()}
        writer = CaseWriter(case, output / case, brain, n4, log)
        facts = {
            "input": _inputs(study),
            "series": [_series_entry(*pair, chosen, named or {}) for pair in zip(study, judgements, strict=True)],
        }
        sources = {modality: {"series": series.key} for modality, series in chosen.items()}
        versions = {"dcm2niix": converter_version(), "pydicom": require_extra().__version__}
        reference = writer.write(volumes, Path(scratch), sources, facts, versions)
        prepared = Prepared(case, writer.folder, chosen, reference)
        use(prepared)
    return prepared


def _require_source(source: Path, output: Path) -> None:
    if not source.exists():
        raise InputError("there is no such input: check the path.")
    if not holds_dicom(source):
        raise InputError(
            "the input holds no DICOM files, or NIfTI files among them: give the DICOM folder of one study or its zip."
        )
    require_apart(source, output)


def choose_series(
    study: Sequence[Series], judgements: Sequence[Judgement], named: Mapping[str, str]
) -> dict[str, Series]:
    """Return the series of each modality: those that a person named, or else those that are certain.

    Raises:
        InputError: when a name fits no series or one that cannot be used, nothing is certain, or two series are.
    """
    if named:
        return {
            modality: _named(study, judgements, modality, named[modality])
            for modality in MODALITIES
            if modality in named
        }
    chosen: dict[str, Series] = {}
    for series, judgement in zip(study, judgements, strict=True):
        if not judgement.certain or judgement.modality is None:
            continue
        if judgement.modality in chosen:
            other = chosen[judgement.modality]
            raise InputError(
                f"{other.title} and {series.title} both show {judgement.modality}: name the one to use, "
                f"such as --{judgement.modality} {other.number or other.key}; then name all others to use, too."
            )
        chosen[judgement.modality] = series
    if not chosen:
        pairs = zip(study, judgements, strict=True)
        maybe = [f"{series.title} may be {judged.modality or 'any'}" for series, judged in pairs if not judged.excluded]
        what = "; ".join(maybe) or "none can be one of the four modalities"
        raise InputError(f"of no series the modality is certain: {what}; name one, such as --flair SERIES.")
    return {modality: chosen[modality] for modality in MODALITIES if modality in chosen}


def _named(study: Sequence[Series], judgements: Sequence[Judgement], modality: str, name: str) -> Series:
    fitting = [place for place, series in enumerate(study) if name in (series.number, series.key)]
    if len(fitting) != 1:
        known = ", ".join(f"{series.number or '-'} ({series.key})" for series in study)
        count = "no series" if not fitting else f"{len(fitting)} series"
        raise InputError(f"--{modality} {name}: {count} of that number or hash; there are {known}.")
    series, judgement = study[fitting[0]], judgements[fitting[0]]
    if judgement.excluded:
        raise InputError(f"--{modality} {name}: it cannot be used: {judgement.reasons[-1]}. Name another series.")
    return series


def _describe(study: Sequence[Series], judgements: Sequence[Judgement]) -> list[str]:
    lines = []
    for series, judgement in zip(study, judgements, strict=True):
        said = "; ".join(judgement.reasons)
        if judgement.excluded:
            lines.append(f"{series.title}: left out: {said}")
        elif judgement.certain:
            lines.append(f"{series.title}: {judgement.modality}: {said}")
        else:
            lines.append(
                f"{series.title}: {judgement.modality or 'unknown'}, uncertain: {said}; "
                f"taken only by name, such as --{judgement.modality or 't2'} {series.number or series.key}"
            )
    return lines


def _inputs(study: Sequence[Series]) -> dict[str, Any]:
    contents = {series.key: series.content() for series in study}
    return {
        "files": sum(len(series.files) for series in study),
        "series_sha256": contents,
        "sha256": content_hash(contents),
    }


def _series_entry(
    series: Series, judgement: Judgement, chosen: Mapping[str, Series], named: Mapping[str, str]
) -> dict[str, Any]:
    used = next((modality for modality, one in chosen.items() if one is series), None)
    return {
        "series": series.key,
        "number": series.number,
        "description": series.facts.description,
        "files": len(series.files),
        "looks_like": judgement.modality,
        "certain": judgement.certain,
        "reasons": list(judgement.reasons),
        "used_as": used,
        "named_by_user": used is not None and bool(named),
    }


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
            path = _write_segmentation(prepared, output, record, case)
            log(f"{prepared.case}: DICOM Segmentation in {path}")

    prepare_study(source, output / PREPARED, named=named, brain=brain, n4=n4, log=log, use=use)
    return record


def _write_segmentation(prepared: Prepared, output: Path, record: Mapping[str, Any], case: Mapping[str, Any]) -> Path:
    """Write the segmentation of the series on whose own grid the label map lies."""
    models = record["models"]
    series = prepared.series[prepared.reference]
    scheme = record["settings"]["label_scheme"] or read_model(models[0]["weights"]).label_scheme
    label = output / prepared.case / f"{prepared.case}_seg.nii.gz"
    path = label.with_name(f"{prepared.case}_seg.dcm")
    write_dicom_seg(path, label, scheme, series, models)
    return path

"""Heads in NIfTI files as the skull-stripped scans that ``pkdr predict`` takes, with a record of how."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash
from pkdr_monai.inference.scans import Scan, find_scans, refuse_two_candidates
from pkdr_monai.prepare.brain import SKULL_STRIPPED, BrainSource, read_mask
from pkdr_monai.prepare.case import CaseWriter, require_apart, require_n4
from pkdr_monai.prepare.dicom_files import files_below, is_dicom
from pkdr_monai.prepare.volume import read_volume

__all__ = ["prepare_scans"]


def prepare_scans(
    source: str | Path,
    output: str | Path,
    *,
    named: Mapping[str, str | Path] | None = None,
    brain: BrainSource = SKULL_STRIPPED,
    n4: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Register the images of each case to one grid where they lie on several, and take the brain out of them.

    Nothing is written into the source.

    Args:
        source: a folder of cases in any layout of :func:`~pkdr_monai.data.layouts.find_cases`, or one NIfTI file.
        output: folder for the results, outside the source.
        named: files of one case by modality, absolute or in the source; then these alone are taken.
        brain: where the brain comes from; a mask serves one case.
        n4: divide the bias field out of each brain.
        log: called with each line for people.

    Returns:
        The folder of each case, with ``<case>_<modality>.nii.gz`` and ``prepare.json``.

    Raises:
        InputError: when there is no image, one cannot be read, images on different grids cannot be registered, or the
            brain is not known.
    """
    source, output = Path(source), Path(output)
    if not source.exists():
        raise InputError("there is no such input: check the path.")
    if source.is_dir() and any(map(is_dicom, files_below(source))):
        raise InputError("the input holds DICOM and NIfTI files: give a folder with one kind of them.")
    require_apart(source, output)
    folder = source if source.is_dir() else source.parent
    files = {modality: folder / file for modality, file in (named or {}).items()}
    scans = find_scans(named=files) if files else find_scans([source])
    for scan in scans:
        refuse_two_candidates(scan)
    if brain.mask is not None:
        if len(scans) > 1:
            raise InputError(f"--brain_mask is the mask of one case, and there are {len(scans)}: prepare them apart.")
        read_mask(brain.mask)  # before anything is written
    if n4:
        require_n4()
    output.mkdir(parents=True, exist_ok=True)
    return [_prepare(scan, output / scan.name, brain, n4, log) for scan in scans]


def _prepare(scan: Scan, folder: Path, brain: BrainSource, n4: bool, log: Callable[[str], None]) -> Path:
    hashes = {str(path): file_hash(path) for path in scan.paths(scan.modalities)}
    volumes, sources = {}, {}
    for modality in scan.modalities:
        (path,) = scan.paths([modality])
        channel = None if scan.case.channels is None else scan.case.channels[modality]
        volumes[modality] = read_volume(path, str(path), channel)
        sources[modality] = {"input_sha256": hashes[str(path)], "channel": channel}
    record = {"files": len(hashes), "sha256": content_hash(sorted(hashes.values()))}
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=folder.parent) as scratch:
        writer = CaseWriter(scan.name, folder, brain, n4, log)
        writer.write(volumes, Path(scratch), sources, {"input": record}, {})
    return folder

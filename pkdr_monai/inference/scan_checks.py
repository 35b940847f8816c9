"""Refuse a scan that a network would segment into nonsense, with one sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence

from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.problems import Problem, errors_among
from pkdr_monai.errors import InputError
from pkdr_monai.inference.scans import Scan

__all__ = ["check_scan", "refuse_two_candidates"]


def check_scan(scan: Scan, modalities: Sequence[str], force: bool = False, strict: bool = False) -> list[str]:
    """Check what a model is about to see of a scan.

    Args:
        scan: the scan.
        modalities: what the model sees of it.
        force: take a scan that does not look like a whole, skull-stripped brain.
        strict: refuse an image that looks like another modality than it is given as, or whose sidecar says that it is.

    Returns:
        What a person should look at, one sentence each.

    Raises:
        InputError: with the first thing that is wrong, in one sentence.
    """
    case, folder = scan.case, scan.folder
    problems = check_cases([case], folder, "brats2018", modalities, need_label=False, force=force, strict=strict)
    for problem in errors_among(problems):
        raise InputError(_sentence(problem))
    return [_sentence(problem) for problem in problems]


def refuse_two_candidates(scan: Scan) -> None:
    """Refuse a scan that has more than one file for a modality.

    Raises:
        InputError: with the list of them.
    """
    for modality in scan.modalities:
        further = [path for content, path in scan.case.duplicates if content == modality]
        if further:
            candidates = ", ".join([scan.case.modalities[modality], *further])
            raise InputError(
                f"case {scan.name} has {1 + len(further)} files for {modality}: {candidates}; "
                f"name the right one with --{modality} FILE, or move the others away."
            )


def _sentence(problem: Problem) -> str:
    return f"case {problem.case}, {problem.where}: {problem.what}; {problem.fix.rstrip('.')}."

"""Check every case of a data set before training: collect all problems, stop at none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.geometry import corner_distance, is_same_grid
from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header, read_voxels
from pkdr_monai.data.label_schemes import cohort_label_problems, label_values
from pkdr_monai.data.problems import Problem, errors_among
from pkdr_monai.data.voxels import image_problems, joint_problems, label_problems, likeness_problems
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import scheme_labels, whole_labels

__all__ = ["Progress", "check_cases", "differing_grids", "read_headers"]

CHANNELS = 8  # at most in a one-hot label: BraTS has five classes; more are volumes of something else


def read_headers(case: Case, folder: Path, files: Mapping[str, str]) -> tuple[dict[str, Header], list[Problem]]:
    """Read the header of each file of a case.

    Args:
        case: the case.
        folder: the data set's folder.
        files: the files to read, relative to ``folder``, by what they hold: a modality, or ``"label"``.

    Returns:
        The headers that are sound, by what the files hold, and what is wrong with the others.
    """
    headers: dict[str, Header] = {}
    problems: list[Problem] = []
    for path in dict.fromkeys(files.values()):  # a 4-D file stands for several modalities: read it once
        contents = [content for content in files if files[content] == path]
        try:
            header = read_header(folder / path, case.geometry)
            if contents == ["label"]:
                _refuse_one_hot(header)
            _require_dimensions(header, {} if contents == ["label"] else case.channels or {})
            headers.update(dict.fromkeys(contents, header))
        except UnreadableError as error:
            problems.append(Problem(case.name, path, error.what, error.fix))
    return headers, problems


def differing_grids(case: Case, headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Yield the files whose voxels do not lie where those of the first one do.

    Corners may lie off by a tenth of a voxel, since programs round affines differently.
    """
    reference = next(iter(headers), "")
    for content in list(headers)[1:]:
        here, there = headers[content], headers[reference]
        if here.shape[:3] != there.shape[:3]:
            sizes = describe_shape(here.shape[:3]), describe_shape(there.shape[:3])
            what = f"{content} has {sizes[0]} voxels, {reference} has {sizes[1]}"
        elif not is_same_grid(there.shape, here.affine, there.affine):
            away = corner_distance(there.shape, here.affine, there.affine)
            what = f"{content} has another affine than {reference}: its voxels lie up to {away:.2g} mm off"
        else:
            continue
        yield Problem(case.name, case.files[content], what, f"resample it to {reference}, or repair its header")


def _refuse_one_hot(header: Header) -> None:
    """Name a label that has a channel for each tissue or region, which is no label map."""
    if len(header.shape) == 4 and 1 < header.shape[3] <= CHANNELS:
        what = f"its shape is {describe_shape(header.shape)}: {header.shape[3]} channels, as of a one-hot label"
        raise UnreadableError(what, "write one label map (X, Y, Z) with the values of a label scheme")


def _require_dimensions(header: Header, channels: Mapping[str, int]) -> None:
    """Refuse a volume that is not 3-D or, where a case has ``channels``, not 4-D with all of them."""
    shape, needed = header.shape, max(channels.values()) + 1 if channels else 1
    if (len(shape) == 3 and needed == 1) or (channels and len(shape) == 4 and shape[3] >= needed):
        return
    expected = f"(X, Y, Z, {needed})" if channels else "(X, Y, Z)"
    what = f"its shape is {describe_shape(shape)}, expected {expected}"
    if len(shape) == 4 and not channels:
        what += f": it holds {shape[3]} volumes, numbers 0 to {shape[3] - 1}"
        raise UnreadableError(what, "write the one to use to a file of its own, such as with fslroi IN OUT NUMBER 1")
    raise UnreadableError(what, "replace the file")


Progress = Callable[[int, int], None]
"""Called after each case with the number of cases checked and their total."""


def check_cases(
    cases: Sequence[Case],
    folder: str | Path,
    label_scheme: str,
    modalities: Sequence[str] = MODALITIES,
    need_label: bool = True,
    voxels: bool = True,
    progress: Progress | None = None,
    whole_cohort: bool = True,
    force: bool = False,
    incomplete: bool = False,
    strict: bool = False,
) -> list[Problem]:
    """Check cases, from missing files to labels outside the brain. A broken file is a problem, never an exception.

    Args:
        cases: what to check, as :func:`pkdr_monai.data.layouts.find_cases` returns it.
        folder: the folder that the cases' files are relative to.
        label_scheme: one of :data:`pkdr_monai.regions.LABEL_SCHEMES`.
        modalities: the modalities that each case must have; others are not looked at.
        need_label: whether a case without a label is an error.
        voxels: whether to read the voxels too (about half a second a BraTS case), not only files and headers.
        progress: called after each case with the number done and the total.
        whole_cohort: whether ``cases`` are all there are, so that what none of them has is worth a warning.
        force: whether a scan that does not look like a whole, skull-stripped brain is a warning instead of an error.
        incomplete: whether a case may lack some of the modalities.
        strict: whether an image that looks like another modality than it is given as, or whose sidecar says that it is
            one, is an error instead of a warning.

    Returns:
        Everything found, in the order of the cases; errors prevent training, warnings do not.

    Raises:
        InputError: when ``label_scheme`` is unknown.

    Example:
        >>> [problem.what for problem in check_cases([Case("a", {})], ".", "brats2018", modalities=["t2"])]
        ['no t2 file', 'no label file']
    """
    values = scheme_labels(label_scheme)
    folder = Path(folder)
    problems: list[Problem] = []
    found: list[frozenset[int]] = []
    for done, case in enumerate(cases, start=1):
        files = {modality: case.modalities[modality] for modality in modalities if modality in case.modalities}
        needed = (tuple(files) or modalities) if incomplete else modalities
        if case.label is not None:
            files["label"] = case.label
        problems += _absent_files(case, needed, need_label, strict)
        headers, unreadable = read_headers(case, folder, files)
        differing = list(differing_grids(case, headers))
        problems += unreadable + differing
        if voxels:
            one_grid = not differing
            problems += _check_voxels(case, folder, headers, values, found, one_grid, force=force, strict=strict)
        if progress is not None:
            progress(done, len(cases))
    if whole_cohort:
        problems += cohort_label_problems(found, label_scheme)
    return problems


def _absent_files(case: Case, modalities: Sequence[str], need_label: bool, strict: bool) -> Iterator[Problem]:
    """Yield the files that a case lacks, and those that it has twice."""
    where = str(PurePosixPath(next(iter(case.files.values()), "")).parent)
    wanted = (*modalities, "label") if need_label else tuple(modalities)
    for content in wanted:
        if content not in case.files:
            found = ", ".join(case.files) or "nothing"
            yield Problem(case.name, where, f"no {content} file", f"restore it (found: {found}), or exclude the case")
    for path, name in case.unclear:
        yield Problem(case.name, path, name.reason, "rename it, or move it out of the data set")
    for path, what in case.notes:
        if path in (case.files.get(content) for content in wanted):
            yield Problem(
                case.name, path, what, "rename the file, or repair its sidecar", "error" if strict else "warning"
            )
    for content, path in case.duplicates:
        if content in wanted:
            what = f"a second {content} file, beside {case.files[content]}"
            yield Problem(case.name, path, what, "delete or move one of the two")


@np.errstate(all="ignore")  # means and deviations of numbers that nobody checked yet
def _check_voxels(
    case: Case,
    folder: Path,
    headers: dict[str, Header],
    values: dict[str, int],
    found: list[frozenset[int]],
    one_grid: bool,
    force: bool,
    strict: bool,
) -> list[Problem]:
    """Check the voxels of the files with a sound header: each by itself, and together where they have one grid.

    The values of a sound label are added to ``found``.
    """
    problems: list[Problem] = []
    volumes: dict[str, np.ndarray] = {}
    for path in dict.fromkeys(case.files[content] for content in headers):
        try:
            volume = read_voxels(folder / path)
        except UnreadableError as error:
            problems.append(Problem(case.name, path, error.what, error.fix))
            continue
        for content in (content for content in headers if case.files[content] == path):
            volumes[content] = volume[..., case.channels[content]] if volume.ndim == 4 and case.channels else volume
    label = volumes.pop("label", None)
    sound = {}
    for modality, image in volumes.items():
        faults = list(image_problems(case, modality, image, headers[modality].affine, force))
        problems += faults
        if not errors_among(faults):
            sound[modality] = image
    if label is not None:
        faults = list(label_problems(case, label, values))
        problems += faults
        label = _whole_or_none(label)
        if label is not None and not faults:
            found.append(label_values(label))
    affines = {modality: headers[modality].affine for modality in sound}
    problems += likeness_problems(case, sound, affines, strict)
    if sound and one_grid:
        voxel_volume = next(iter(headers.values())).voxel_volume
        problems += joint_problems(case, sound, label, values["et"], voxel_volume)
    return problems


def _whole_or_none(label: np.ndarray) -> np.ndarray | None:
    """Return a label map as uint8; ``None`` where :func:`label_problems` says why it is none."""
    try:
        return whole_labels(label)
    except InputError:
        return None

"""Read a data list, and turn it, or a folder of new scans, into what a MONAI data set loads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.entries import case_of, complete_list, data_list_hash, file_sizes
from pkdr_monai.data.layouts import cases_of_files, find_cases
from pkdr_monai.data.listing import make_data_list
from pkdr_monai.data.names import NIFTI_NAME, output_key, parse_name
from pkdr_monai.data.problems import refuse_errors
from pkdr_monai.data.sidecars import heed_sidecar
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.errors import InputError, some
from pkdr_monai.files import read_json
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import LABEL_SCHEMES

__all__ = ["inference_items", "load_data_list", "make_data_list", "require_checked", "training_items"]

logger = logging.getLogger(__name__)

WRITE_IT = "Write it with `pkdr data split DATASET_DIR --output FILE`, which also takes --split and --exclude."


def load_data_list(path: str | Path) -> dict[str, Any]:
    """Read a data list, and refuse one that is not as it was written.

    Args:
        path: a file that ``pkdr data split`` wrote, or a list of the Decathlon's shape without a hash, which is taken
            with a warning: nothing says whether its files were checked.

    Returns:
        Its content, as :func:`pkdr_monai.data.listing.make_data_list` describes it.

    Raises:
        InputError: when the file is absent, is no data list, or was changed since.
    """
    data_list = read_json(str(path))  # MONAI's command line makes a number of 2018
    if isinstance(data_list, dict) and "training" in data_list and "hash" not in data_list:
        data_list = complete_list(path, data_list)
        data_list["hash"] = data_list_hash(data_list)
        logger.warning(
            "%s has no hash: it is taken as it is. Nothing says that its cases were checked, or how they were divided.",
            path,
        )
    if not isinstance(data_list, dict) or not {"label_scheme", "hash", *SECTIONS} <= set(data_list):
        raise InputError(f"{path} is not a data list: expected label_scheme, hash, {', '.join(SECTIONS)}. {WRITE_IT}")
    if data_list["label_scheme"] not in tuple(LABEL_SCHEMES) or not all(
        isinstance(data_list[part], list) for part in SECTIONS
    ):
        raise InputError(
            f"{path} is not a data list: expected lists of cases and one of the label schemes "
            f"{', '.join(LABEL_SCHEMES)}. {WRITE_IT}"
        )
    if data_list["hash"] != data_list_hash(data_list):
        raise InputError(f"{path} does not hold what its hash stands for: was it edited by hand? {WRITE_IT}")
    for entry in (entry for part in SECTIONS for entry in data_list[part]):
        case_of(entry)  # refuses what is none
    return data_list


def training_items(
    data_list: Mapping[str, Any],
    dataset_dir: str | Path,
    section: str,
    modalities: Sequence[str] = MODALITIES,
    need_label: bool = True,
    label_key: str = "label",
    incomplete: bool = False,
) -> list[dict[str, Any]]:
    """Turn one section of a data list into the items of a MONAI data set.

    Of a list that was written with ``pkdr data split --incomplete``, training cases that lack one of ``modalities`` are
    left out, with a warning, unless ``incomplete`` asks for them.

    Args:
        data_list: as :func:`load_data_list` returns it.
        dataset_dir: the data set's folder.
        section: ``"training"``, ``"validation"`` or ``"test"``.
        modalities: the modalities that each image has, in this order.
        need_label: whether a case without a label is an error; if not, its item has no ``"label"``.
        label_key: name of the label in the items; under another name it is not cropped and resampled with the image.
        incomplete: take training cases with what they have. The image holds zeros for an absent modality.

    Returns:
        For each case ``"case"``, ``"image"`` (absolute paths in the order of ``modalities``, or the one path of a 4-D
        file with the ``"channels"`` to take of it), ``"label"`` (absolute path) and ``"scheme"`` (of its label values).
        With ``incomplete`` every case has ``"channels"``, -1 for an absent modality.

    Raises:
        InputError: when the section is empty, or a case lacks a modality, its label or a file.
    """
    if section not in SECTIONS:
        raise InputError(f"unknown section {section!r} of a data list: choose among {', '.join(SECTIONS)}.")
    if not data_list[section]:
        raise InputError(f"the data list has no {section} case. Give it some: `pkdr data split ... --split FILE`.")
    items = []
    folder = Path(str(dataset_dir))  # MONAI's command line makes a number of 2018
    for case in _trainable(data_list, section, modalities, incomplete):
        item = _item(case, folder, modalities, incomplete and section == "training")
        if need_label or case.label is not None:
            item[label_key] = _existing_file(case, folder, "label")
        item["scheme"] = data_list["label_scheme"]  # under a short name: MONAI takes "label_..." for metadata
        items.append(item)
    return items


def inference_items(
    folder_or_files: str | Path | Sequence[str | Path], modalities: Sequence[str] = MODALITIES
) -> list[dict[str, Any]]:
    """Find the scans to segment: a folder that :func:`~pkdr_monai.data.layouts.find_cases` knows, or files by name.

    Args:
        folder_or_files: a folder of cases, of one case or of loose files ``<case>_<modality>.nii.gz``; or such files. A
            file that is named alone needs no modality in its name when one modality is asked for.
        modalities: the modalities that the network sees, in this order.

    Returns:
        For each case ``"case"`` and ``"image"``: the absolute paths of its modalities, or the one path of a 4-D file
        with the ``"channels"`` to take of it.

    Raises:
        InputError: when there is no case, one lacks a modality, or two would be written to one file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("ann_t2.nii.gz", "ann_flair.nii.gz", "bob_t2w.nii.gz"):
        ...     (folder / name).touch()
        >>> [[Path(path).name for path in item["image"]] for item in inference_items(folder, ["t2"])]
        [['ann_t2.nii.gz'], ['bob_t2w.nii.gz']]
    """
    if isinstance(folder_or_files, int | float):  # what MONAI's command line makes of the folder 2018
        folder_or_files = str(folder_or_files)
    if isinstance(folder_or_files, str | Path) and Path(folder_or_files).is_dir():
        cohort = find_cases(folder_or_files)
        items = [_item(case, cohort.folder, modalities) for case in cohort.cases]
    else:
        files = [folder_or_files] if isinstance(folder_or_files, str | Path) else folder_or_files
        items = [_item(case, Path(), modalities) for case in _cases_of_loose_files(files, modalities)]
    _refuse_equal_names(items)
    return items


def named_apart(items: Iterable[Mapping[str, Any] | str | Sequence[str]]) -> list[dict[str, Any]]:
    """Return the scans of a list, one written by hand too, when no two of them would be written to one file.

    Args:
        items: as :func:`inference_items` returns them, or only their ``"image"``.

    Raises:
        InputError: when two would be written to one file.

    Example:
        >>> named_apart(["ann_t2.nii.gz", ["bob_t2.nii.gz", "bob_flair.nii.gz"]])
        [{'image': 'ann_t2.nii.gz'}, {'image': ['bob_t2.nii.gz', 'bob_flair.nii.gz']}]
    """
    named = [dict(item) if isinstance(item, Mapping) else {"image": item} for item in items]
    _refuse_equal_names(named)
    return named


def require_checked(
    data_list: Mapping[str, Any], dataset_dir: str | Path, modalities: Sequence[str] = MODALITIES
) -> None:
    """Check, before training starts, that the files of a data list are still those that were checked with it.

    Files and headers of every training and validation case are checked, and the voxels of those whose sizes differ from
    the list's. Warnings are logged. What ``pkdr data split --accept_scans`` took is taken here too.

    Args:
        data_list: as :func:`load_data_list` returns it.
        dataset_dir: the data set's folder.
        modalities: the modalities that training reads.

    Raises:
        InputError: with a table of what is wrong.
    """
    folder, read = Path(str(dataset_dir)), (*modalities, "label")
    same: list[Case] = []
    changed: list[Case] = []
    for entry in (*data_list["training"], *data_list["validation"]):
        case, recorded = case_of(entry), entry.get("bytes", {})
        sizes = {content: size for content, size in file_sizes(case, folder).items() if content in read}
        (same if all(recorded.get(content) == sizes[content] for content in sizes) else changed).append(case)
    scheme, force = data_list["label_scheme"], data_list.get("accept_scans") is True
    lacking = data_list.get("incomplete") is True
    problems = check_cases(same, folder, scheme, modalities, voxels=False, incomplete=lacking)
    problems += check_cases(changed, folder, scheme, modalities, whole_cohort=not same, force=force, incomplete=lacking)
    refuse_errors(problems, folder)


def _trainable(
    data_list: Mapping[str, Any], section: str, modalities: Sequence[str], incomplete: bool
) -> Iterator[Case]:
    """Yield the cases of a section, without those that a list of incomplete cases has for other networks."""
    left_out = []
    cases = list(map(case_of, data_list[section]))
    for case in cases:
        lacking = case.lacks(modalities) if section == "training" and data_list.get("incomplete") is True else []
        if lacking and (not incomplete or len(lacking) == len(modalities)):
            left_out.append(f"{case.name} (no {', '.join(lacking)})")
        else:
            yield case
    if len(left_out) == len(cases):
        raise InputError(f"no training case has all of {', '.join(modalities)}: {some(left_out, 5)}.")
    if left_out:
        logger.warning(
            "training leaves out %d of %d cases, since this network needs all of %s: %s. A student for any subset "
            "(any_subset.json) learns from them too.",
            len(left_out),
            len(cases),
            ", ".join(modalities),
            some(left_out, 5),
        )


def _item(case: Case, folder: Path, modalities: Sequence[str], incomplete: bool = False) -> dict[str, Any]:
    case.refuse_unclear()
    for path, note in case.notes:
        logger.warning("case %s, %s: %s", case.name, path, note)
    there = [modality for modality in modalities if modality in case.modalities] if incomplete else list(modalities)
    item: dict[str, Any] = {"case": case.name, "image": _image_files(case, folder, there)}
    if case.channels is not None or incomplete:
        places = case.channels or {modality: channel for channel, modality in enumerate(there)}
        item["channels"] = [places[modality] if modality in there else -1 for modality in modalities]
    if case.geometry != "header":
        item["geometry"] = case.geometry
    return item


def _refuse_equal_names(items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse scans whose segmentations would overwrite each other: each bears the name of its (first) image file."""
    seen: dict[str, str] = {}
    for item in items:
        path = item["image"] if isinstance(item["image"], str) else item["image"][0]
        other = seen.setdefault(output_key(Path(path).name), path)
        if other != path:
            raise InputError(
                f"{other} and {path} have one file name, leaving out endings and letter case, so their "
                "segmentations would overwrite each other. "
                "Segment their folders one at a time, each with its own --output_dir, or rename the files."
            )


def _image_files(case: Case, folder: Path, modalities: Sequence[str]) -> str | list[str]:
    """Return the files of the modalities, in their order, or the one 4-D file that holds them all."""
    files = [_existing_file(case, folder, modality) for modality in modalities]
    return files if case.channels is None else files[0]


def _existing_file(case: Case, folder: Path, content: str) -> str:
    twice = [path for place, path in case.duplicates if place == content]
    if twice:
        raise InputError(f"case {case.name} has two {content} files, {case.files[content]} and {twice[0]}: remove one.")
    if content not in case.files:
        raise InputError(f"case {case.name} has no {content} file; it has {', '.join(case.files) or 'none'}.")
    path = (folder / case.files[content]).absolute()
    if not path.is_file():
        raise InputError(f"case {case.name}: the {content} file {path} is absent. Check the data set's folder.")
    return str(path)


def _cases_of_loose_files(files: Sequence[str | Path], modalities: Sequence[str]) -> list[Case]:
    """Put files together to cases by their names; with one modality wanted, a name need not give it."""
    paths = [Path(file).absolute() for file in files]
    for path in paths:
        if not path.is_file() or not NIFTI_NAME.fullmatch(path.name):
            raise InputError(f"{path} is neither a folder nor a NIfTI file: expected .nii or .nii.gz. Check the path.")
    cases = cases_of_files(paths, Path())
    known = {Path(file) for case in cases for file in case.every_file}
    for path in (path for path in paths if path not in known):
        if len(modalities) > 1:
            names = ", ".join(f"<case>_{modality}.nii.gz" for modality in modalities)
            raise InputError(f"{path} does not give its modality: expected files named {names} ({_reason(path)}).")
        cases.append(Case(path.name, {modalities[0]: str(path)}))
    return sorted(cases, key=lambda case: case.name)


def _reason(path: Path) -> str:
    return heed_sidecar(path, parse_name(path)).name.reason

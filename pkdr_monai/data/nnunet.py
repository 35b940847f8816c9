"""Find the cases of nnU-Net's raw folders and of the Decathlon's Task01, which share dataset.json."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import Case, nifti_files
from pkdr_monai.data.names import modality_of, stem_of
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import LABEL_SCHEMES

__all__ = [
    "LABEL_SCHEME",
    "NUMBERED",
    "channels_of",
    "description_of",
    "find_raw_cases",
    "find_task01_cases",
    "image_folders",
    "is_raw_data",
    "is_task01",
    "scheme_of_description",
]

LABEL_SCHEME = "msd"
IMAGE_FOLDERS = ("imagesTr", "imagesTs")  # training, with labels; test, without
NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")  # a name in raw data, without its ending


def is_task01(folder: Path) -> bool:
    """Return whether ``folder`` is a Decathlon task, or the image folder of one."""
    return description_of(folder).is_file() and any(path.is_dir() for path in image_folders(folder))


def find_task01_cases(folder: Path) -> list[Case]:
    """Return the cases whose files exist, whatever ``dataset.json`` lists.

    Args:
        folder: the task's folder, of which the training cases are taken (the test cases where there is no other), or
            its ``imagesTr/`` or ``imagesTs/``, whose cases then have no label.

    Raises:
        InputError: when ``dataset.json`` does not say which channel is which modality.
    """
    channels = _channels(description_of(folder))
    images = next(path for path in image_folders(folder) if path.is_dir())
    cases = []
    for name in nifti_files(images, depth=0):
        image = (images / name).relative_to(folder).as_posix()
        label = folder / "labelsTr" / name
        cases.append(
            Case(
                name=stem_of(name.name),
                modalities=dict.fromkeys(channels, image),
                label=label.relative_to(folder).as_posix() if label.is_file() else None,
                channels=channels,
            )
        )
    return cases


def description_of(folder: Path) -> Path:
    """Return where the ``dataset.json`` of a folder, or of an image folder, would be."""
    return (folder.absolute().parent if folder.name in IMAGE_FOLDERS else folder) / "dataset.json"


def image_folders(folder: Path) -> list[Path]:
    """Return where the images of a data set, or of an image folder, would be."""
    return [folder] if folder.name in IMAGE_FOLDERS else [folder / name for name in IMAGE_FOLDERS]


def _channels(description: Path) -> dict[str, int]:
    """Read ``{"0": "FLAIR", "1": "T1w", ...}`` as modality to channel, in the project's order of modalities."""
    content = read_json(description)
    listed = content.get("modality") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or not all(str(channel).isdigit() for channel in listed):
        raise InputError(
            f'{description} has no table "modality" from channel to name, such as {{"0": "FLAIR", "1": "T1w", '
            '"2": "t1gd", "3": "T2w"}. Take the file that comes with the Decathlon\'s Task01_BrainTumour.'
        )
    channels = {modality_of(str(name)): int(channel) for channel, name in listed.items()}
    if None in channels or len(channels) < len(listed):
        raise InputError(
            f"{description} names the channels {', '.join(map(str, listed.values()))}: expected each of "
            f"{', '.join(MODALITIES)} once, under one of its names. Is this the Decathlon's Task01_BrainTumour?"
        )
    return {modality: channels[modality] for modality in MODALITIES if modality in channels}


NAMES = {"ed": r"o?edema|^ed$", "ncr": r"necro|non.?enhanc|^ncr|^net$", "et": r"(?<!non)(?<!non.)enhanc|^et$"}
REGIONS = {"wt": r"whole|^wt$", "tc": r"core|^tc$", "et": r"enhanc|^et$"}


def is_raw_data(folder: Path) -> bool:
    """Return whether ``folder`` is a data set of ``nnUNet_raw``, or its ``imagesTr/`` or ``imagesTs/``."""
    if not description_of(folder).is_file():
        return False
    images = [path for path in image_folders(folder) if path.is_dir()]
    files = [stem_of(name.name) for path in images for name in nifti_files(path, depth=0)]
    return bool(files) and all(NUMBERED.fullmatch(stem) for stem in files)


def find_raw_cases(folder: Path, labels: bool = True) -> tuple[list[Case], str]:
    """Return the cases whose files exist, and the label scheme that ``dataset.json`` describes.

    Args:
        folder: the data set's folder, of which the training cases are taken (the test cases where there is no other),
            or its ``imagesTr/`` or ``imagesTs/``, whose cases then have no label.
        labels: whether labels count.

    Raises:
        InputError: when ``dataset.json`` does not name the channels, or describes labels of no known scheme.
    """
    description = description_of(folder)
    content = read_json(description)
    content = content if isinstance(content, dict) else {}
    channels = channels_of(description, content)
    images = next(path for path in image_folders(folder) if path.is_dir())
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for name in nifti_files(images, depth=0):
        match = NUMBERED.fullmatch(stem_of(name.name))
        channel = int(match["channel"]) if match else -1
        if match is None or channel not in channels:
            raise InputError(
                f"{images / name} is channel {channel}, but {description} names the channels "
                f"{', '.join(map(str, channels))}: add it there, or remove the file."
            )
        files[match["case"]][channels[channel]] = (images / name).relative_to(folder).as_posix()
    label_files = {stem_of(name.name): f"labelsTr/{name}" for name in _label_names(folder)} if labels else {}
    cases = [
        Case(case, {modality: found[modality] for modality in MODALITIES if modality in found}, label_files.get(case))
        for case, found in files.items()
    ]
    labelled = any(case.label for case in cases)
    return cases, scheme_of_description(description, content.get("labels")) if labelled else "brats2018"


def _label_names(folder: Path) -> list[Path]:
    labels = folder / "labelsTr"
    return list(nifti_files(labels, depth=0)) if labels.is_dir() else []


def channels_of(description: str | Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Read ``channel_names`` (version 2) or ``modality`` (version 1) as channel to modality.

    Args:
        description: the file, for messages.
        content: what it holds.

    Raises:
        InputError: when it names no channels, or names that are no modality.
    """
    listed = content.get("channel_names", content.get("modality"))
    if not isinstance(listed, dict) or not all(str(channel).isdigit() for channel in listed):
        raise InputError(
            f'{description} has no table "channel_names" (or "modality") from channel to name, such as '
            '{"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}: add it.'
        )
    channels = {int(channel): modality_of(str(name)) for channel, name in listed.items()}
    named = {channel: modality for channel, modality in channels.items() if modality is not None}
    if len(named) < len(channels) or len(set(named.values())) < len(named):
        raise InputError(
            f"{description} names the channels {', '.join(map(str, listed.values()))}: expected some of "
            f"{', '.join(MODALITIES)}, each once, under one of its names. Correct the names."
        )
    return named


def scheme_of_description(description: str | Path, listed: Any) -> str:
    """Return the scheme whose values are those that ``labels`` names: single labels, or nnU-Net's nested regions.

    Args:
        description: the file, for messages.
        listed: its ``labels``, from value to name or from name to value.

    Raises:
        InputError: when they are those of no known scheme.
    """
    values: dict[str, set[int]] = {}
    for key, value in listed.items() if isinstance(listed, dict) else ():
        name, numbers = (str(value), key) if str(key).isdigit() else (str(key), value)
        many = numbers if isinstance(numbers, list) else [numbers]
        values[name.strip().lower()] = {int(number) for number in many if str(number).isdigit()}
    for scheme, known in LABEL_SCHEMES.items():
        labels = {name: {known[name]} for name in NAMES}
        tumour_core = {known["ncr"], known["et"]}
        regions = {"wt": tumour_core | {known["ed"]}, "tc": tumour_core, "et": {known["et"]}}
        if _matches(values, NAMES, labels) or _matches(values, REGIONS, regions):
            return scheme
    raise InputError(
        f"{description} describes the labels {listed}: expected the values of oedema, necrosis and enhancing tumour, "
        f"or of whole tumour, tumour core and enhancing tumour, as in one of {LABEL_SCHEMES}. Correct its labels."
    )


def _matches(values: Mapping[str, set[int]], patterns: Mapping[str, str], expected: Mapping[str, set[int]]) -> bool:
    named = {
        key: [found for name, found in values.items() if re.search(pattern, name)] for key, pattern in patterns.items()
    }
    tumour = [name for name, found in values.items() if found and found != {0} and "background" not in name]
    return len(tumour) == len(patterns) and all(named[key] == [expected[key]] for key in patterns)

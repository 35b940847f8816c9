"""Find the cases of the Medical Segmentation Decathlon's Task01: one 4-D file a case, and labels of its own."""

from __future__ import annotations

from pathlib import Path

from pkdr_monai.data.cases import Case, nifti_files
from pkdr_monai.data.names import modality_of, stem_of
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.modalities import MODALITIES

__all__ = ["LABEL_SCHEME", "description_of", "find_task01_cases", "image_folders", "is_task01"]

LABEL_SCHEME = "msd"
IMAGE_FOLDERS = ("imagesTr", "imagesTs")  # training, with labels; test, without


def is_task01(folder: Path) -> bool:
    """Tell whether ``folder`` is a Decathlon task, or the image folder of one."""
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

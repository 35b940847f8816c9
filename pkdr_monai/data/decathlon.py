"""What makes a data list one of the Decathlon's, and what a list that somebody else wrote in that shape leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import Case
from pkdr_monai.data.names import parse_name, stem_of
from pkdr_monai.data.nnunet import channels_of, label_scheme_of
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import TISSUES, scheme_labels

__all__ = ["complete_list", "decathlon_keys"]

NAMES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}


def decathlon_keys(cases: Sequence[Case], label_scheme: str, training: int, test: int) -> dict[str, Any]:
    """Return what ``monai.data.load_decathlon_properties`` reads: channels, labels and the numbers of cases.

    Args:
        cases: the cases, at least one.
        label_scheme: the scheme of their labels.
        training: number of training cases.
        test: number of test cases.

    Example:
        >>> case = Case("a", {"t1": "a.nii", "flair": "a.nii"}, channels={"t1": 1, "flair": 0})
        >>> found = decathlon_keys([case], "brats2018", 1, 0)
        >>> found["modality"], found["labels"]["4"], found["numTraining"]
        ({'0': 'FLAIR', '1': 'T1'}, 'enhancing tumour', 1)
    """
    largest = max(cases, key=lambda case: len(case.modalities))
    ordered = [modality for modality in MODALITIES if modality in largest.modalities]
    channels = largest.channels or {modality: channel for channel, modality in enumerate(ordered)}
    labels = {value: TISSUES[tissue] for tissue, value in scheme_labels(label_scheme).items()}
    return {
        "tensorImageSize": "3D" if largest.channels is None else "4D",
        "modality": {str(channels[name]): NAMES[name] for name in sorted(ordered, key=lambda name: channels[name])},
        "labels": {"0": "background", **{str(value): labels[value] for value in sorted(labels)}},
        "numTraining": training,
        "numTest": test,
    }


def complete_list(path: str | Path, data_list: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a list of the Decathlon's shape what training here needs beside it.

    The scheme of the labels is that which ``labels`` describes, the channels are those of the entry, of the names of
    its files or of ``modality``, and a case bears the name of its (first) image.

    Args:
        path: the file, for messages.
        data_list: its content.

    Raises:
        InputError: when one of these cannot be told.
    """
    completed = {"validation": [], "test": [], **data_list}
    if "label_scheme" not in completed:
        completed["label_scheme"] = label_scheme_of(path, completed.get("labels"))
    for section in SECTIONS:
        if not isinstance(completed.get(section), list):
            raise InputError(f"{path} is not a data list: expected a list of cases under {section!r}.")
        completed[section] = [_completed(path, entry, data_list) for entry in completed[section]]
    return completed


def _completed(path: str | Path, entry: Any, data_list: Mapping[str, Any]) -> Any:
    """Add to an entry the name of its case and its channels; what is no entry is left to who reads it."""
    entry = {"image": entry} if isinstance(entry, str) else entry
    image = entry.get("image") if isinstance(entry, dict) else None
    files = [image] if isinstance(image, str) else image
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        return entry
    name = stem_of(Path(files[0]).name) if isinstance(image, str) else parse_name(files[0]).case
    completed = {"case": name or Path(files[0]).parent.name or stem_of(files[0]), **entry}
    if "channels" not in completed:
        spoken = [parse_name(file).content for file in files] if isinstance(image, list) else []
        if spoken and all(content in MODALITIES for content in spoken) and len(set(spoken)) == len(spoken):
            completed["channels"] = {content: channel for channel, content in enumerate(spoken)}
        else:
            completed["channels"] = {name: channel for channel, name in channels_of(path, data_list).items()}
    return completed

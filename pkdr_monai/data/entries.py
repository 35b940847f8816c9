"""A case as an entry of a data list, plain data for JSON in the shape of the Decathlon's, and back."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pkdr_monai.data.cases import Case
from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.data.names import parse_name, stem_of
from pkdr_monai.data.nnunet import channels_of, scheme_of_description
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash
from pkdr_monai.modalities import MODALITIES, SPELLING
from pkdr_monai.regions import TISSUES, scheme_labels

__all__ = ["case_of", "complete_list", "data_list_hash", "decathlon_keys", "entry_of", "file_sizes"]


def entry_of(case: Case, folder: Path) -> dict[str, Any]:
    """Write a case as plain data, with the sizes of its files in ``folder``.

    ``image`` and ``label`` are those of a data list of the Decathlon: what ``LoadImaged`` loads, one file for each
    modality or one 4-D file. ``channels`` says where each modality lies in the image.

    Example:
        >>> entry_of(Case("a", {"t2": "a/a_t2.nii"}, "a/a_seg.nii", grade="LGG"), Path("/nowhere"))
        ... # doctest: +NORMALIZE_WHITESPACE
        {'case': 'a', 'grade': 'LGG', 'image': ['a/a_t2.nii'], 'label': 'a/a_seg.nii', 'channels': {'t2': 0},
         'bytes': {'t2': -1, 'label': -1}}
    """
    entry: dict[str, Any] = {"case": case.name}
    if case.grade is not None:
        entry["grade"] = case.grade
    ordered = [modality for modality in MODALITIES if modality in case.modalities]
    files = [case.modalities[modality] for modality in ordered]
    entry["image"] = files if case.channels is None else files[0]
    if case.label is not None:
        entry["label"] = case.label
    numbers = range(len(ordered)) if case.channels is None else (case.channels[modality] for modality in ordered)
    entry["channels"] = dict(zip(ordered, numbers, strict=True))
    if case.geometry != "header":
        entry["geometry"] = case.geometry
    return entry | {"bytes": file_sizes(case, folder)}


def case_of(entry: Mapping[str, Any]) -> Case:
    """Read an entry of a data list, as :func:`entry_of` writes it, or with the file of each modality under its name.

    Raises:
        InputError: when it is no entry, or a file of it lies outside of the data set's folder.
    """
    _refuse_other_than_entries(entry)
    modalities = _modalities(entry)
    files = modalities if "label" not in entry else {**modalities, "label": entry["label"]}
    for path in files.values():
        parsed = PureWindowsPath(path)  # knows the separators of both worlds
        if parsed.anchor or ".." in parsed.parts:
            raise InputError(
                f"case {entry['case']} has the file {path}: expected a path relative to the data set's folder and "
                "inside it. Move the files there and write the data list again."
            )
    geometry = require_geometry(entry.get("geometry", "header"))
    return Case(
        entry["case"],
        modalities,
        files.get("label"),
        entry.get("grade"),
        entry.get("channels") if isinstance(entry.get("image", ""), str) else None,
        geometry=geometry,
    )


def file_sizes(case: Case, folder: Path) -> dict[str, int]:
    """Return the size of each file of a case in bytes, -1 where it is absent."""
    paths = {content: folder / path for content, path in case.files.items()}
    return {content: path.stat().st_size if path.is_file() else -1 for content, path in paths.items()}


def data_list_hash(data_list: Mapping[str, Any]) -> str:
    """Return the hash of a data list: of everything but the hash itself and the list's name."""
    return content_hash({key: value for key, value in data_list.items() if key not in ("hash", "name")})


def _modalities(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the file of each modality."""
    if "image" not in entry:
        return {modality: entry[modality] for modality in MODALITIES if modality in entry}
    image, channels = entry["image"], entry["channels"]
    named = [modality for modality in MODALITIES if modality in channels]
    return {modality: image if isinstance(image, str) else image[channels[modality]] for modality in named}


def _refuse_other_than_entries(entry: Any) -> None:
    """Refuse what :func:`entry_of` does not write; a hash does not say who wrote it."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("case"), str):
        raise InputError(f"the data list holds {reprlib.repr(entry)}: expected an entry with the name of a case.")
    texts = {key: entry[key] for key in (*MODALITIES, "label", "grade") if key in entry}
    tables = {key: entry.get(key) or {} for key in ("channels", "bytes")}
    wrong = [key for key, value in texts.items() if not isinstance(value, str) or "\0" in value]
    wrong += [key for key, value in tables.items() if not _is_table(value)]
    if wrong:
        raise InputError(f"case {entry['case']} has {wrong[0]} {reprlib.repr(entry[wrong[0]])}. Write the list again.")
    channels = tables["channels"]
    image = entry.get("image")
    held = list(channels) if image is not None else [key for key in MODALITIES if key in entry]
    lacking = [key for key in held if channels and channels.get(key, -1) < 0]
    if lacking:
        raise InputError(f"case {entry['case']} has no channel of {lacking[0]}. Write the list again.")
    if image is not None:
        _refuse_other_than_images(entry["case"], image, channels)


def _refuse_other_than_images(case: str, image: Any, channels: Mapping[str, int]) -> None:
    paths = [image] if isinstance(image, str) else image
    if not isinstance(paths, list) or not all(isinstance(path, str) and "\0" not in path for path in paths):
        raise InputError(f"case {case} has image {reprlib.repr(image)}: expected a path or a list of paths.")
    numbers = sorted(channels.values())
    if not channels or not set(channels) <= set(MODALITIES):
        raise InputError(
            f"case {case} has channels {reprlib.repr(dict(channels))}: expected the place in its image of each "
            f'modality, such as {{"t1": 0, "t1ce": 1}}, among {", ".join(MODALITIES)}. Write the list again.'
        )
    if not isinstance(image, str) and numbers != list(range(len(image))):
        raise InputError(
            f"case {case} has an image of {len(image)} files, and the channels {numbers}: expected one for each file, "
            "from 0 on. Write the list again."
        )


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(type(number) is int for number in value.values())


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
        "modality": {str(channels[name]): SPELLING[name] for name in sorted(ordered, key=lambda name: channels[name])},
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
        InputError: when one of these cannot be determined.
    """
    completed = {"validation": [], "test": [], **data_list}
    if "label_scheme" not in completed:
        completed["label_scheme"] = scheme_of_description(path, completed.get("labels"))
    for section in SECTIONS:
        if not isinstance(completed.get(section), list):
            raise InputError(f"{path} is not a data list: expected a list of cases under {section!r}.")
        completed[section] = [_completed(path, entry, data_list) for entry in completed[section]]
    return completed


def _completed(path: str | Path, entry: Any, data_list: Mapping[str, Any]) -> Any:
    """Add to an entry the name of its case and its channels; anything else is returned unchanged."""
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

"""A case as an entry of a data list, plain data for JSON, and back."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from pkdr_monai.data.cases import Case
from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash
from pkdr_monai.modalities import MODALITIES

__all__ = ["case_of", "data_list_hash", "entry_of", "file_sizes"]


def entry_of(case: Case, folder: Path) -> dict[str, Any]:
    """Write a case as plain data, with the sizes of its files in ``folder``.

    Example:
        >>> entry_of(Case("a", {"t2": "a/a_t2.nii"}, "a/a_seg.nii", grade="LGG"), Path("/nowhere"))
        {'case': 'a', 'grade': 'LGG', 't2': 'a/a_t2.nii', 'label': 'a/a_seg.nii', 'bytes': {'t2': -1, 'label': -1}}
    """
    entry: dict[str, Any] = {"case": case.name}
    if case.grade is not None:
        entry["grade"] = case.grade
    entry |= case.files
    if case.channels is not None:
        entry["channels"] = case.channels
    if case.geometry != "header":
        entry["geometry"] = case.geometry
    return entry | {"bytes": file_sizes(case, folder)}


def case_of(entry: Mapping[str, Any]) -> Case:
    """Read an entry of a data list.

    Raises:
        InputError: when it is no entry, or a file of it lies outside of the data set's folder.
    """
    _refuse_other_than_entries(entry)
    files = {content: entry[content] for content in (*MODALITIES, "label") if content in entry}
    for path in files.values():
        parsed = PureWindowsPath(path)  # knows the separators of both worlds
        if parsed.anchor or ".." in parsed.parts:
            raise InputError(
                f"case {entry['case']} has the file {path}: expected a path relative to the data set's folder and "
                "inside it. Move the files there and write the data list again."
            )
    modalities = {content: path for content, path in files.items() if content != "label"}
    geometry = require_geometry(entry.get("geometry", "header"))
    return Case(
        entry["case"],
        modalities,
        files.get("label"),
        entry.get("grade"),
        entry.get("channels"),
        geometry=geometry,
    )


def file_sizes(case: Case, folder: Path) -> dict[str, int]:
    """Return the size of each file of a case in bytes, -1 where it is absent."""
    paths = {content: folder / path for content, path in case.files.items()}
    return {content: path.stat().st_size if path.is_file() else -1 for content, path in paths.items()}


def data_list_hash(data_list: Mapping[str, Any]) -> str:
    """Return the hash of a data list: of everything but the hash itself and the list's name."""
    return content_hash({key: value for key, value in data_list.items() if key not in ("hash", "name")})


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
    lacking = [key for key in MODALITIES if channels and key in entry and channels.get(key, -1) < 0]
    if lacking:
        raise InputError(f"case {entry['case']} has no channel of {lacking[0]}. Write the list again.")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(type(number) is int for number in value.values())

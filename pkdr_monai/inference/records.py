"""What was done to a case, so that it is neither done twice nor taken for done when its image has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai import __version__
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash, read_object, remove_unfinished, write_json
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.settings import Settings
from pkdr_monai.runs.model_card import ModelCard

__all__ = ["RECORD", "case_inputs", "case_key", "clear_results", "finished_record", "write_record"]

RECORD = "record.json"


def case_inputs(scan: Scan, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the file of each modality and the hash of its content.

    Raises:
        InputError: when a file cannot be read.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for modality in modalities:
        (path,) = scan.paths([modality])
        channel = None if scan.case.channels is None else scan.case.channels[modality]
        inputs[modality] = {"file": str(path), "sha256": file_hash(path), "channel": channel}
    return inputs


def case_key(
    inputs: Mapping[str, Mapping[str, Any]], cards: Sequence[ModelCard], settings: Settings, engines: Sequence[str]
) -> str:
    """Return a hash of all that determines the result of a case: images, models, settings, engines, version.

    Where a file lies does not matter, only what it holds.
    """
    content = {modality: (told["sha256"], told["channel"]) for modality, told in inputs.items()}
    models = [(card.sha256, card.modalities, card.network, card.spacing, card.roi_size) for card in cards]
    return content_hash([content, models, settings.as_dict(), list(engines), __version__])


def finished_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the record of a case that was done with the same key and whose results are all there, or ``None``."""
    try:
        record = read_object(folder / RECORD)
    except InputError:
        return None
    if record.get("key") != key:
        return None
    return record if all((folder / name).is_file() for name in record.get("outputs", ())) else None


def clear_results(folder: Path) -> None:
    """Remove an earlier record and the results that it lists, the record first.

    Results that are about to be replaced, wholly or in part, must not pass for those of the earlier record. What a
    process that was killed had half written goes, too.
    """
    remove_unfinished(folder)
    try:
        record = read_object(folder / RECORD)
    except InputError:
        record = {}  # absent or damaged
    (folder / RECORD).unlink(missing_ok=True)
    for name in record.get("outputs", ()):
        (folder / Path(name).name).unlink(missing_ok=True)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all.

    Raises:
        InputError: when it cannot be written.
    """
    try:
        write_json(path, record)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; check the disk and --output.") from error

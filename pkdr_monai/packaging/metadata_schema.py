"""Whether ``metadata.json`` is as MONAI's schema asks, with the schema at hand or without."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import verify_metadata

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_json

__all__ = ["check_metadata"]

TEXT, TABLE = str, dict
REQUIRED: dict[str, type] = {
    "schema": TEXT,
    "version": TEXT,
    "changelog": TABLE,
    "monai_version": TEXT,
    "pytorch_version": TEXT,
    "numpy_version": TEXT,
    "required_packages_version": TABLE,
    "task": TEXT,
    "description": TEXT,
    "authors": TEXT,
    "copyright": TEXT,
    "network_data_format": TABLE,
}
TENSOR = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")


def check_metadata(path: str | Path, schema: str | Path | None = None) -> str:
    """Check ``metadata.json``, offline.

    With the schema's file, MONAI's own ``verify_metadata`` checks the whole. Without it, what the schema requires is
    looked for: the keys, the kinds of their values, and the description of the network's input and output.

    Args:
        path: ``metadata.json``.
        schema: a copy of the file that the key ``schema`` of the metadata names.

    Returns:
        What was checked, for a person to read.

    Raises:
        InputError: when the metadata is not as the schema asks.
    """
    metadata = read_json(path)
    if schema is None:
        _check_required(metadata)
        return f"the required keys; for the whole check, download {metadata['schema']} and name it with --schema"
    if importlib.util.find_spec("jsonschema") is None:
        raise InputError("--schema needs the package jsonschema: pip install jsonschema.")
    read_json(schema)  # refuses a file that is absent or no JSON: MONAI would try to download it
    logging.disable(logging.INFO)  # MONAI tells every argument
    try:
        verify_metadata(meta_file=str(path), filepath=str(schema), hash_val=file_hash(schema), hash_type="sha256")
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{Path(path).name} does not keep the schema {schema}: {first}. Repair it.") from error
    finally:
        logging.disable(logging.NOTSET)
    return f"keeps the schema {Path(schema).name}"


def _check_required(metadata: Any) -> None:
    if not isinstance(metadata, dict):
        raise InputError("metadata.json is no JSON object. Repair it.")
    for key, kind in REQUIRED.items():
        if not isinstance(metadata.get(key), kind):
            noun = "a text" if kind is TEXT else "an object"
            raise InputError(f"metadata.json does not keep MONAI's schema: expected {noun} under {key!r}. Repair it.")
    for side, tensor in (("inputs", "image"), ("outputs", "pred")):
        description = metadata["network_data_format"].get(side)
        found = description.get(tensor) if isinstance(description, Mapping) else None
        missing = [key for key in TENSOR if not isinstance(found, Mapping) or key not in found]
        if missing:
            where = f"network_data_format/{side}/{tensor}"
            raise InputError(
                f"metadata.json does not keep MONAI's schema: expected {missing[0]!r} in {where}. Repair it."
            )

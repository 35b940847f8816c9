"""The checks that MONAI's model zoo makes of a bundle, and those that this one's promises ask for."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import verify_metadata

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_json, read_object
from pkdr_monai.inference.backends import EXPORTS
from pkdr_monai.networks import read_tensors
from pkdr_monai.packaging.archive import read_large_files, unpack_archive
from pkdr_monai.packaging.checked_exports import MAX_LOGIT_DIFFERENCE
from pkdr_monai.packaging.exports import BACKENDS

__all__ = ["check_metadata", "check_network", "check_torchscript", "verify_bundle"]

NEEDED = (
    "LICENSE",
    "configs/inference.json",
    "configs/metadata.json",
    "configs/train.json",
    "docs/README.md",
    "docs/data_license.txt",
    "pkdr_monai/__init__.py",
)
WEIGHTS = "models/model.pt"
IN_MODELS = {"model.json", EXPORTS, "README.md", *(name for names in BACKENDS.values() for name in names)}
VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


def verify_bundle(
    bundle: str | Path, schema: str | Path | None = None, log: Callable[[str], None] = lambda line: None
) -> None:
    """Check a bundle: its files, version, metadata, weights, network and TorchScript.

    The network is built, and exported again, by MONAI in a process that finds the bundle's own code first: verify only
    what you trust. What is plain data is checked before.

    Args:
        bundle: its zip or its folder.
        schema: MONAI's schema of ``metadata.json``; without it, only what that requires is looked for.
        log: gets a line for each check that is passed.

    Raises:
        InputError: at the first check that is not.
    """
    if Path(bundle).is_dir():
        _verify_folder(Path(bundle).resolve(), schema, log)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = unpack_archive(bundle, folder)
        _refuse_compiled_code(root)
        log(f"archive: sound, all in the folder {root.name}")
        _verify_folder(root, schema, log)


def _verify_folder(root: Path, schema: str | Path | None, log: Callable[[str], None]) -> None:
    hosted = read_large_files(root)
    _check_directory(root, hosted)
    log("directory: complete")
    metadata = read_object(root / "configs" / "metadata.json")
    _check_version(root, metadata)
    log(f"version: {metadata['version']}, in the changelog, and the code's")
    log(f"metadata: {check_metadata(root / 'configs' / 'metadata.json', schema)}")
    _check_hub_layout(root)
    log("hub: the model card and the licence are where push_to_hf_hub looks for them")
    _check_models(root, hosted)
    log("models: plain tensors, each file the one that was checked")
    check_network(root)
    log("network: takes and gives what the metadata says")
    if (root / WEIGHTS).is_file():
        check_torchscript(root)
        log(
            "TorchScript: exported again" + (", models/model.ts agrees" if (root / "models/model.ts").is_file() else "")
        )
    else:
        where = "the weights are hosted elsewhere" if WEIGHTS in hosted else "the bundle has no weights"
        log(f"TorchScript: not checked, {where}")


def _refuse_compiled_code(root: Path) -> None:
    """Refuse what Python would run in place of the code that one can read; a folder in use has some, a zip has none."""
    compiled = sorted(path.relative_to(root) for path in root.rglob("*.pyc"))
    if compiled:
        raise InputError(f"{root.name} holds {compiled[0]}, compiled code, which no build puts there. Do not use it.")


def _check_directory(root: Path, hosted: dict[str, Any]) -> None:
    missing = [name for name in NEEDED if not (root / name).is_file()]
    if missing:
        raise InputError(f"{root.name} is not complete: it has no {missing[0]}. Build it again with pkdr bundle build.")
    exports = root / "models" / EXPORTS
    if exports.is_file() and not (root / WEIGHTS).is_file() and WEIGHTS not in hosted:
        raise InputError(f"{root.name} has exports and no weights: {WEIGHTS} is neither there nor in large_files.yml.")


def _check_version(root: Path, metadata: dict[str, Any]) -> None:
    for key in ("version", "changelog"):
        if key not in metadata:
            raise InputError(f"{root.name}: configs/metadata.json has no {key!r}. Add it.")
    version = metadata["version"]
    if version not in metadata["changelog"]:
        raise InputError(f"{root.name}: version {version} is not in the changelog of configs/metadata.json. Add it.")
    code = VERSION.search((root / "pkdr_monai" / "__init__.py").read_text(encoding="utf-8"))
    if code is None or code[1] != version:
        found = code[1] if code else "unknown"
        raise InputError(f"{root.name}: the metadata is of version {version}, the code in pkdr_monai of {found}.")


def _check_hub_layout(root: Path) -> None:
    """Check what ``push_to_hf_hub`` makes its page of: the model card, to which it adds a head, and the licence."""
    if (root / "docs" / "README.md").read_text(encoding="utf-8").startswith("---"):
        raise InputError(f"{root.name}: docs/README.md has a head of its own, before which the hub's would stand.")
    licence = (root / "LICENSE").read_text(encoding="utf-8")
    if not ("Apache License" in licence and "Version 2.0" in licence):
        raise InputError(f"{root.name}: LICENSE is not the Apache License, Version 2.0, under which the code is.")


def _check_models(root: Path, hosted: dict[str, Any]) -> None:
    """Check that weights are plain tensors, that nothing else is there, and that files are those of the record."""
    for path in sorted(path for path in (root / "models").rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".pt":
            if path.parent == root / "models" and name != WEIGHTS:
                raise InputError(f"{root.name}: MONAI Label would offer {name} as a model. Put it into a folder below.")
            read_tensors(path)
        elif name.removeprefix("models/") not in IN_MODELS:
            raise InputError(f"{root.name} holds {name}, which no build puts there. Remove it.")
    expected = {name: entry["hash_val"] for name, entry in hosted.items() if entry["hash_type"] == "sha256"}
    if (root / "models" / EXPORTS).is_file():
        record = read_object(root / "models" / EXPORTS)
        expected[WEIGHTS] = record["sha256"]
        for entry in record["exports"]:
            expected |= {f"models/{name}": digest for name, digest in entry["sha256"].items() if entry["offered"]}
    for name, digest in expected.items():
        if not (root / name).is_file():
            if name not in hosted:
                raise InputError(f"{root.name} has no {name}, which models/{EXPORTS} lists.")
        elif file_hash(root / name) != digest:
            raise InputError(f"{root.name}: {name} is not the file that was checked: its hash differs. Do not use it.")


NETWORK = "network_def"
CONFIGS = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
SHAPE = (32, 16, 33)


def check_network(root: Path) -> None:
    """Check that the network takes and gives what the metadata says, by MONAI's ``verify_net_in_out``.

    Args:
        root: the bundle's folder.

    Raises:
        InputError: when it does not, or cannot be built.
    """
    _monai(root, "verify_net_in_out", NETWORK, *CONFIGS)


def check_torchscript(root: Path) -> None:
    """Check that MONAI's ``ckpt_export`` exports the weights, and that ``models/model.ts``, if there, gives the same.

    Args:
        root: the bundle's folder, with ``models/model.pt``.

    Raises:
        InputError: when the export fails, or the two differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ts"
        weights = ("--ckpt_file", "models/model.pt", "--key_in_ckpt", "")
        _monai(root, "ckpt_export", NETWORK, "--filepath", str(path), *weights, *CONFIGS)
        provided = root / "models" / "model.ts"
        if not provided.is_file():
            return
        metadata = read_json(root / "configs" / "metadata.json")
        channels = metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        image = torch.randn(1, channels, *SHAPE, generator=torch.Generator().manual_seed(0))
        difference = (_predict(provided, image) - _predict(path, image)).abs().max()
    if not difference <= MAX_LOGIT_DIFFERENCE:
        raise InputError(
            f"{root.name}: models/model.ts and models/model.pt are not one model: their logits differ by up to "
            f"{float(difference):.2g}. Build the bundle again."
        )


@torch.inference_mode()
def _predict(path: Path, image: torch.Tensor) -> torch.Tensor:
    try:
        return torch.jit.load(path, map_location="cpu").eval()(image)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path.name} is no TorchScript of this network ({first}). Build the bundle again.") from error


def _monai(root: Path, check: str, *words: str) -> None:
    """Run a command of MONAI's in the bundle's folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "monai.bundle", check, *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{root.name}: MONAI's {check} refused it: {last}")


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
    logging.disable(logging.INFO)  # MONAI logs every argument
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

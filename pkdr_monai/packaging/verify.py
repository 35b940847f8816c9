"""The checks that MONAI's model zoo makes of a bundle, and those that this one's promises ask for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_object
from pkdr_monai.inference.backends import EXPORTS
from pkdr_monai.networks import read_tensors
from pkdr_monai.packaging.archive import unpack_archive
from pkdr_monai.packaging.exports import BACKENDS
from pkdr_monai.packaging.large_files import read_large_files
from pkdr_monai.packaging.metadata_schema import check_metadata
from pkdr_monai.packaging.network_check import check_network, check_torchscript

__all__ = ["verify_bundle"]

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
    bundle: str | Path, schema: str | Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> None:
    """Check a bundle: its files, version, metadata, weights, network and TorchScript.

    The network is built, and exported again, by MONAI in a process that finds the bundle's own code first: verify only
    what you trust. What is plain data is checked before.

    Args:
        bundle: its zip or its folder.
        schema: MONAI's schema of ``metadata.json``; without it, only what that requires is looked for.
        tell: gets a line for each check that is passed.

    Raises:
        InputError: at the first check that is not.
    """
    if Path(bundle).is_dir():
        _verify_folder(Path(bundle).resolve(), schema, tell)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = unpack_archive(bundle, folder)
        _refuse_compiled_code(root)
        tell(f"archive: sound, all in the folder {root.name}")
        _verify_folder(root, schema, tell)


def _verify_folder(root: Path, schema: str | Path | None, tell: Callable[[str], None]) -> None:
    hosted = read_large_files(root)
    _check_directory(root, hosted)
    tell("directory: complete")
    metadata = read_object(root / "configs" / "metadata.json")
    _check_version(root, metadata)
    tell(f"version: {metadata['version']}, in the changelog, and the code's")
    tell(f"metadata: {check_metadata(root / 'configs' / 'metadata.json', schema)}")
    _check_hub_layout(root)
    tell("hub: the model card and the licence are where push_to_hf_hub looks for them")
    _check_models(root, hosted)
    tell("models: plain tensors, each file the one that was checked")
    check_network(root)
    tell("network: takes and gives what the metadata says")
    if (root / WEIGHTS).is_file():
        check_torchscript(root)
        tell(
            "TorchScript: exported again" + (", models/model.ts agrees" if (root / "models/model.ts").is_file() else "")
        )
    else:
        where = "the weights are hosted elsewhere" if WEIGHTS in hosted else "the bundle has no weights"
        tell(f"TorchScript: not checked, {where}")


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

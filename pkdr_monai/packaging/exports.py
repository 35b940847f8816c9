"""The network in forms that need no class of this package: TorchScript, ONNX and OpenVINO."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from monai.networks.utils import convert_to_torchscript
from torch import nn

from pkdr_monai.files import atomic_write
from pkdr_monai.packaging.archive import write_archive

__all__ = ["BACKENDS", "NEEDS", "export_onnx", "export_openvino", "export_torchscript", "missing_packages"]

BACKENDS: dict[str, tuple[str, ...]] = {
    "torchscript": ("model.ts",),
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}
"""The files of each export; a backend opens the first."""

NEEDS: dict[str, tuple[str, ...]] = {
    "torchscript": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),  # it is made from the ONNX file
    "torch": (),
}
"""The packages that each export needs beyond this one's own."""

SIDES = (33, 50, 47)  # unequal, none a multiple of 16: with others the exporter drops the padding, or joins two sides
TRACES = (".debug_pkl", "/.data/serialization_id")  # entries of a TorchScript file that hold paths, or a hash of them
INPUT, OUTPUT = "image", "pred"  # the names in metadata.json


def missing_packages(backend: str) -> list[str]:
    """Return which packages that an export needs are not installed.

    Example:
        >>> missing_packages("torchscript")
        []
    """
    return [package for package in NEEDS[backend] if importlib.util.find_spec(package) is None]


def export_torchscript(network: nn.Module, path: str | Path, metadata: Mapping[str, Any], config: Any) -> None:
    """Write the network as TorchScript, as MONAI's ``ckpt_export`` does: with the metadata and the config inside.

    What PyTorch adds for debugging is left out: it holds the paths of this machine.

    Args:
        network: the network, with its weights.
        path: file to write, ``model.ts``.
        metadata: content of ``metadata.json``.
        config: content of ``inference.json``.
    """
    script = convert_to_torchscript(network)
    extra = {"inference.json": json.dumps(config).encode()}
    whole = io.BytesIO()
    save_net_with_metadata(script, whole, include_config_vals=False, meta_values=metadata, more_extra_files=extra)
    with zipfile.ZipFile(whole) as archive:
        names = [name for name in archive.namelist() if not name.endswith(TRACES)]
        # MONAI Deploy looks for the extra files in a folder named as the file
        write_archive(path, {f"{Path(path).stem}/{name.split('/', 1)[1]}": archive.read(name) for name in names})


def export_onnx(network: nn.Module, path: str | Path) -> None:
    """Write the network as ONNX, for a batch of one image with sides of any size from 16 on.

    Args:
        network: the network, with its weights.
        path: file to write, ``model.onnx``.
    """
    network.eval()
    sides = dict.fromkeys((2, 3, 4), torch.export.Dim.DYNAMIC)
    channels: Any = network.in_channels
    image = torch.zeros(1, channels, *SIDES)
    with torch.no_grad(), _quiet():
        program = torch.export.export(network, (image,), dynamic_shapes=(sides,))
        exported = torch.onnx.export(
            program, (), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    if exported is None:
        raise RuntimeError("torch.onnx.export returned nothing.")
    model = exported.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of this machine
    with atomic_write(path) as file:
        file.write(model.SerializeToString(deterministic=True))


def export_openvino(onnx_path: str | Path, path: str | Path) -> None:
    """Write the network as OpenVINO's ``model.xml`` and, beside it, ``model.bin``, both in float32.

    Args:
        onnx_path: the file that :func:`export_onnx` wrote.
        path: file to write, ``model.xml``.
    """
    import openvino

    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        openvino.save_model(openvino.Core().read_model(Path(onnx_path)), written, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):  # the file that names the other comes last
            with atomic_write(path.with_suffix(suffix)) as file:
                file.write(written.with_suffix(suffix).read_bytes())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings about itself, and about torchvision, from the user."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)

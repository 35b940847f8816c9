"""The bundle as one file: build its zip with weights and checked exports, and verify such a zip."""

from pkdr_monai.packaging.build import build_bundle
from pkdr_monai.packaging.checked_exports import Comparison, compare
from pkdr_monai.packaging.exports import export_onnx, export_openvino, export_torchscript
from pkdr_monai.packaging.verify import verify_bundle

__all__ = [
    "Comparison",
    "build_bundle",
    "compare",
    "export_onnx",
    "export_openvino",
    "export_torchscript",
    "verify_bundle",
]

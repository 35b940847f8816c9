"""An application of MONAI Deploy: read a scan, segment it by a bundle, write the label map; it runs in its environment.

python deploy_app.py SCAN BUNDLE RESULT
"""

from __future__ import annotations

import sys
from typing import Any

import nibabel
import numpy as np
from holoscan.conditions import CountCondition
from monai.deploy.core import Application, Image, IOType, Operator, OperatorSpec
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator


class ReadScan(Operator):
    """Read a NIfTI file and hand it on with its place in space."""

    def __init__(self, fragment: Application, *conditions: Any, path: str, name: str) -> None:
        self.path = path
        super().__init__(fragment, *conditions, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("image")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        scan = nibabel.load(self.path)
        place = {"affine": scan.affine, "original_affine": scan.affine, "spacing": scan.header.get_zooms()}
        voxels = np.asarray(scan.dataobj, np.float32)
        op_output.emit(Image(voxels, metadata={**place, "original_channel_dim": "no_channel"}), "image")


class WriteLabel(Operator):
    """Write the label map as NIfTI; it comes in the order of DICOM, (Z, Y, X)."""

    def __init__(self, fragment: Application, path: str, name: str) -> None:
        self.path = path
        super().__init__(fragment, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("pred")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        label = op_input.receive("pred")
        nibabel.save(nibabel.Nifti1Image(label.asnumpy().transpose(2, 1, 0), label.metadata()["affine"]), self.path)


class Segmentation(Application):
    """Scan, bundle, label map."""

    def __init__(self, scan: str, bundle: str, result: str) -> None:
        self.paths = scan, bundle, result
        super().__init__(argv=["segmentation"])

    def compose(self) -> None:
        scan, bundle, result = self.paths
        read = ReadScan(self, CountCondition(self, 1), path=scan, name="read")
        infer = MonaiBundleInferenceOperator(
            self,
            app_context=Application.init_app_context(["segmentation"]),
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_path=bundle,
            name="infer",
        )
        write = WriteLabel(self, path=result, name="write")
        self.add_flow(read, infer, {("image", "image")})
        self.add_flow(infer, write, {("pred", "pred")})


if __name__ == "__main__":
    Segmentation(*sys.argv[1:]).run()

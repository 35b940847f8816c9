"""From a DICOM study to the scan that ``pkdr predict`` takes, and from its result to a DICOM Segmentation."""

from pkdr_monai.prepare.series import holds_dicom
from pkdr_monai.prepare.study import Prepared, prepare_study

__all__ = ["Prepared", "holds_dicom", "prepare_study"]

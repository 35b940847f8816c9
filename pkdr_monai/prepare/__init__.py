"""From DICOM, or NIfTI files of whole heads, to the scan that ``pkdr predict`` takes, and back to DICOM."""

from pkdr_monai.prepare.brain import BrainSource
from pkdr_monai.prepare.dicom_files import holds_dicom
from pkdr_monai.prepare.dicom_seg import write_dicom_seg
from pkdr_monai.prepare.nifti import prepare_scans
from pkdr_monai.prepare.study import Prepared, prepare_study, segment_study

__all__ = [
    "BrainSource",
    "Prepared",
    "holds_dicom",
    "prepare_scans",
    "prepare_study",
    "segment_study",
    "write_dicom_seg",
]

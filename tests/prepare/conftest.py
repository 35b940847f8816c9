"""A synthetic patient as a scanner writes it: oblique, 2-D slices with a gap, four series and what surrounds them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.phantom.case import PhantomCase, make_case

SHAPE, SPACING = (80, 80, 32), (2.4, 2.4, 5.0)  # slices of 4 mm, 1 mm apart
NAME, ID = "Testperson^Quirine", "QX4711"
STUDY, FRAME = "1.2.826.0.1.3680043.8.498.4711", "1.2.826.0.1.3680043.8.498.4712"
HEADERS: dict[str, dict[str, Any]] = {
    "t1": {"SeriesDescription": "AX T1 SE pre", "ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 12},
    "t1ce": {
        "SeriesDescription": "AX T1 SE",
        "ScanningSequence": "SE",
        "RepetitionTime": 500,
        "EchoTime": 12,
        "ContrastBolusAgent": "gadobutrol",
    },
    "t2": {"SeriesDescription": "AX T2 TSE", "ScanningSequence": "SE", "RepetitionTime": 4500, "EchoTime": 98},
    "flair": {
        "SeriesDescription": "AX FLAIR",
        "ScanningSequence": ["SE", "IR"],
        "RepetitionTime": 9000,
        "EchoTime": 120,
        "InversionTime": 2500,
    },
}
ENHANCED = "t1ce"  # one file with all slices; T2 has an implicit value representation, the others an explicit one
NUMBERS = {"t1": 3, "t1ce": 9, "t2": 4, "flair": 5}


def oblique() -> np.ndarray:
    """Return voxel to LPS in mm, (4, 4): turned by 12 degrees about the x and by 7 about the z axis."""
    x, z = math.radians(12), math.radians(7)
    about_x = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
    about_z = np.array([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(SPACING)
    affine[:3, 3] = (-95.0, -110.0, -60.0)
    return affine


def write_series(
    folder: Path, volume: np.ndarray, number: int, header: dict[str, Any], implicit: bool = False, **changes: Any
) -> Path:
    """Write a volume (X, Y, Z), whose axes lead left, back and up, as one file for each slice."""
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True)
    affine = oblique()
    axes = affine[:3, :3] / np.array(SPACING)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    for place in range(volume.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"{number}.{place}"])
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.PatientName, slice_.PatientID, slice_.PatientBirthDate, slice_.PatientSex = NAME, ID, "19500101", "F"
        slice_.StudyInstanceUID, slice_.FrameOfReferenceUID = STUDY, FRAME
        slice_.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {number}"])
        slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = "20260102"
        slice_.StudyTime, slice_.SeriesTime, slice_.AcquisitionTime = "101500", "102000", f"10200{number % 10}"
        slice_.StudyID, slice_.AccessionNumber, slice_.ReferringPhysicianName = "1", "ACC77", "Doctor^Somebody"
        slice_.Modality, slice_.Manufacturer, slice_.ManufacturerModelName = "MR", "SIEMENS", "Phantom"
        slice_.BodyPartExamined, slice_.PatientPosition, slice_.MagneticFieldStrength = "HEAD", "HFS", "1.5"
        slice_.PositionReferenceIndicator, slice_.Laterality = "", ""
        slice_.SeriesNumber, slice_.InstanceNumber, slice_.AcquisitionNumber = number, place + 1, 1
        slice_.ImageType, slice_.SequenceVariant, slice_.ScanOptions = ["ORIGINAL", "PRIMARY", "M", "ND"], "SK", ""
        slice_.MRAcquisitionType, slice_.EchoNumbers, slice_.FlipAngle = "2D", "1", "90"
        slice_.SliceThickness, slice_.SpacingBetweenSlices = "4", "5"
        slice_.ImagePositionPatient = [round(float(v), 5) for v in affine[:3, 3] + place * affine[:3, 2]]
        slice_.ImageOrientationPatient = [round(float(v), 8) for v in (*axes[:, 0], *axes[:, 1])]
        slice_.PixelSpacing = [SPACING[1], SPACING[0]]
        slice_.Rows, slice_.Columns = volume.shape[1], volume.shape[0]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation, slice_.PixelRepresentation = 1, "MONOCHROME2", 0
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
        for word, value in {**header, **changes}.items():
            setattr(slice_, word, value)
        slice_.PixelData = np.ascontiguousarray(volume[:, :, place].T.astype("<u2")).tobytes()
        slice_.save_as(folder / f"IM{number:03d}{place:04d}", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, volume: np.ndarray, number: int, header: dict[str, Any]) -> Path:
    """Write a volume (X, Y, Z) as one file of Enhanced MR Image Storage, whose attributes lie in functional groups."""
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

    def group(**values: Any) -> Any:
        item = Dataset()
        for word, value in values.items():
            setattr(item, word, value)
        return pydicom.Sequence([item])

    affine = oblique()
    axes = affine[:3, :3] / np.array(SPACING)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, EnhancedMRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"enhanced {number}"])
    image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = EnhancedMRImageStorage, meta.MediaStorageSOPInstanceUID
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = NAME, ID, "19500101", "F"
    image.StudyInstanceUID, image.FrameOfReferenceUID = STUDY, FRAME
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {number}"])
    image.StudyDate = image.SeriesDate = image.ContentDate = "20260102"
    image.StudyTime, image.SeriesTime, image.ContentTime = "101500", "102000", "102000"
    image.AcquisitionDateTime, image.AcquisitionDuration = "20260102102000", 120.0
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", "ACC77", "Doctor^Somebody"
    image.Modality, image.Manufacturer, image.ManufacturerModelName = "MR", "Philips", "Phantom"
    image.SoftwareVersions, image.DeviceSerialNumber, image.PositionReferenceIndicator = "1", "1", ""
    image.BodyPartExamined, image.PatientPosition, image.MagneticFieldStrength = "HEAD", "HFS", 1.5
    image.SeriesNumber, image.InstanceNumber, image.SeriesDescription = number, 1, header["SeriesDescription"]
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    image.PixelPresentation, image.VolumetricProperties, image.ComplexImageComponent = (
        "MONOCHROME",
        "VOLUME",
        "MAGNITUDE",
    )
    image.VolumeBasedCalculationTechnique, image.MRAcquisitionType = "NONE", "2D"
    image.EchoPulseSequence, image.EchoPlanarPulseSequence, image.Spoiling = "SPIN", "NO", "NONE"
    image.AcquisitionContrast = "UNKNOWN"
    image.Rows, image.Columns, image.NumberOfFrames = volume.shape[1], volume.shape[0], volume.shape[2]
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    if "ContrastBolusAgent" in header:
        image.ContrastBolusAgentSequence = group(
            CodeValue="C-B0317", CodingSchemeDesignator="SRT", CodeMeaning=header["ContrastBolusAgent"]
        )
    shared = Dataset()
    shared.MRTimingAndRelatedParametersSequence = group(RepetitionTime=header["RepetitionTime"], FlipAngle=90)
    inverted = {"InversionTimes": header["InversionTime"]} if "InversionTime" in header else {}
    shared.MRModifierSequence = group(InversionRecovery="YES" if inverted else "NO", **inverted)
    shared.PlaneOrientationSequence = group(
        ImageOrientationPatient=[round(float(v), 8) for v in (*axes[:, 0], *axes[:, 1])]
    )
    shared.PixelMeasuresSequence = group(
        SliceThickness=4, SpacingBetweenSlices=5, PixelSpacing=[SPACING[1], SPACING[0]]
    )
    shared.PixelValueTransformationSequence = group(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")
    image.SharedFunctionalGroupsSequence = pydicom.Sequence([shared])
    frames = []
    for place in range(volume.shape[2]):
        frame = Dataset()
        frame.MREchoSequence = group(EffectiveEchoTime=header["EchoTime"])
        frame.PlanePositionSequence = group(
            ImagePositionPatient=[round(float(v), 5) for v in affine[:3, 3] + place * affine[:3, 2]]
        )
        frame.FrameContentSequence = group(
            StackID="1", InStackPositionNumber=place + 1, DimensionIndexValues=[1, place + 1], TemporalPositionIndex=1
        )
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
    image.PixelData = np.ascontiguousarray(volume.transpose(2, 1, 0).astype("<u2")).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def patient() -> PhantomCase:
    return make_case(seed=7, shape=SHAPE, spacing=SPACING)


@pytest.fixture(scope="session")
def head() -> np.ndarray:
    """A volume that is nowhere 0, as of a head with noise around it."""
    return np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.uint16)


def bright_brain(image: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return a head whose brain, that of an image, is brighter than 1000, and nothing else is."""
    return np.where(image > 0, image + 1000, head).astype(np.uint16)


HD_BET = """#!{python}
import json, os, pathlib, sys
import nibabel as nib, numpy as np
words = sys.argv[1:]
options = dict(zip(words[::2], words[1::2]))
place = pathlib.Path(os.path.expanduser("~"), "hd-bet_params", "release_2.0.0", "fold_all", "checkpoint_final.pth")
weights = place.read_text() if place.is_file() else None
pathlib.Path({said!r}).write_text(json.dumps(dict(words=words, weights=weights)))
allowed = {{"-i", "-o", "-device", "--disable_tta", "--save_bet_mask", "--no_bet_image"}}
assert {{word for word in words if word.startswith("-")}} <= allowed
assert options["-i"].endswith(".nii.gz") and options["-o"].endswith(".nii.gz")
image = nib.load(options["-i"])
voxels = (np.asarray(image.dataobj) > 1000).astype(np.uint8)
{does}
nib.save(nib.Nifti1Image(voxels, image.affine), options["-o"][:-7] + "_bet.nii.gz")
"""


@pytest.fixture
def hd_bet(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that puts a command hd-bet on PATH, which takes what is brighter than 1000 for the brain.

    It takes HD-BET's options alone, and writes them, with the weights that it finds, into the file that is returned.
    """
    folder = tmp_path_factory.mktemp("bin")

    def install(does: str = "") -> Path:
        command, said = folder / "hd-bet", folder / "said.json"
        command.write_text(HD_BET.format(python=sys.executable, said=str(said), does=does))
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        monkeypatch.setenv("HOME", str(folder))
        return said

    return install


@pytest.fixture(scope="session")
def study(patient: PhantomCase, head: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM folder with four series of a brain, a localiser, a diffusion map and a report in text."""
    folder = tmp_path_factory.mktemp("export") / NAME
    for modality, header in HEADERS.items():
        volume, number = patient.images[modality], NUMBERS[modality]
        if modality == ENHANCED:
            write_enhanced(folder / modality / "IM0001", volume, number, header)
        else:
            write_series(folder / modality, volume, number, header, implicit=modality == "t2")
    maps = {"SeriesDescription": "ADC", "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}
    write_series(folder / "adc", head[:, :, :6], 7, maps, ScanningSequence="EP")
    write_series(folder / "loc", head[:, :, :3], 1, {"SeriesDescription": f"loc {NAME}", "ScanningSequence": "GR"})
    (folder / "report.txt").write_text("text")
    return folder


@pytest.fixture(scope="session")
def direct(patient: PhantomCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patient's FLAIR as a NIfTI file that never was DICOM, with the other modalities beside it."""
    folder = tmp_path_factory.mktemp("direct")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ oblique()
    for modality, voxels in patient.images.items():
        nib.save(nib.Nifti1Image(voxels, affine), folder / f"patient_{modality}.nii.gz")
    return folder / "patient_flair.nii.gz"


@pytest.fixture
def change() -> Callable[..., None]:
    """Return a function that changes the header of every file in a folder."""
    import pydicom

    def write(folder: Path, **changes: Any) -> None:
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            for word, value in changes.items():
                setattr(dataset, word, value)
            dataset.save_as(path)

    return write

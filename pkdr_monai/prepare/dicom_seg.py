"""A label map as a DICOM Segmentation of the series that it was computed from, for the PACS."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkdr_monai import __version__
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, file_hash, writing_to
from pkdr_monai.prepare.dicom_files import quiet_pydicom, require_extra
from pkdr_monai.prepare.series import Series
from pkdr_monai.regions import REGIONS, label_to_regions

__all__ = ["write_dicom_seg"]

SEGMENTS = {  # region: label, and its code in CID 7159, Lesion Segmentation Types
    "tc": ("Tumour core (TC)", ("108369006", "SCT", "Neoplasm")),
    "wt": ("Whole tumour with oedema (WT)", ("52988006", "SCT", "Lesion")),
    "et": ("Enhancing tumour (ET)", ("C113842", "NCIt", "Enhancing Lesion")),
}
CATEGORY = ("49755003", "SCT", "Morphologically Altered Structure")
BRAIN = ("12738006", "SCT", "Brain")
FAMILY = ("123109", "DCM", "Artificial Intelligence")
OFF_GRID = 0.05  # of a voxel, which the digits of a header may place a slice off its neighbours' grid
TYPE_2 = (  # what the standard wants in each file, if only empty
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator"),
)


def write_dicom_seg(
    path: Path, label_file: Path, label_scheme: str, series: Series, models: Sequence[Mapping[str, Any]]
) -> None:
    """Write the regions TC, WT and ET of a label map as three binary segments, which contain each other.

    The object belongs to the study and the frame of reference of the series and refers to its images. It holds the
    patient's name, as all DICOM of the study does; the same result has the same UIDs.

    Args:
        path: file to write.
        label_file: label map on the grid of the series.
        label_scheme: scheme of its values.
        series: what it was computed from.
        models: ``name``, ``version`` and ``sha256`` of each model.

    Raises:
        InputError: when the extra is missing, the label lies on another grid, or the file cannot be written.
    """
    pydicom = require_extra()
    try:
        import highdicom
    except ImportError as error:
        raise InputError("--dicom_seg needs highdicom: pip install 'pkdr-monai[dicom]'.") from error
    label = torch.from_numpy(np.ascontiguousarray(read_voxels(label_file)))
    regions = label_to_regions(label, label_scheme).numpy().astype(np.uint8)  # (3, X, Y, Z)
    with quiet_pydicom():
        images = [_image(pydicom, file) for file in series.files]
        index = _index(images, read_header(label_file).affine, label.shape)
        pixels = np.stack([region[tuple(index)] for region in regions], axis=-1)  # (frames, rows, columns, 3)
        uid = [series.uid, file_hash(label_file), *(str(model["sha256"]) for model in models), __version__]
        try:
            segmentation = highdicom.seg.Segmentation(
                source_images=images,
                pixel_array=pixels,
                segmentation_type="BINARY",
                segment_descriptions=_descriptions(highdicom, models),
                series_instance_uid=pydicom.uid.generate_uid(entropy_srcs=[*uid, "series"]),
                series_number=1000 + (int(series.number) if series.number.isdigit() else 0),
                sop_instance_uid=pydicom.uid.generate_uid(entropy_srcs=[*uid, "instance"]),
                instance_number=1,
                manufacturer="PKDR",
                manufacturer_model_name=", ".join(str(model["name"]) for model in models)[:64],
                software_versions=f"pkdr_monai {__version__}",
                device_serial_number=str(models[0]["sha256"])[:16],
                content_label="TUMOUR",
                content_description="Research software, not a medical device",
                series_description="PKDR tumour, research only",
                omit_empty_frames=bool(pixels.any()),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # what highdicom raises of odd headers
            raise InputError(f"highdicom makes no segmentation of {series.title}: {error}.") from error
        content = io.BytesIO()
        segmentation.save_as(content)
    with writing_to(path), atomic_write(path) as target:
        target.write(content.getvalue())


def _image(pydicom: Any, path: Path) -> Any:
    image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    for word in TYPE_2:
        if word not in image:
            setattr(image, word, None)
    return image


def _descriptions(highdicom: Any, models: Sequence[Mapping[str, Any]]) -> list[Any]:
    concept = highdicom.sr.CodedConcept
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"PKDR {', '.join(str(model['name']) for model in models)}"[:64],
        family=concept(*FAMILY),
        version=f"{', '.join(str(model['version']) for model in models)} (pkdr_monai {__version__})"[:64],
        source="pkdr_monai",
        parameters={"weights_sha256": ",".join(str(model["sha256"]) for model in models)},
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=SEGMENTS[region][0],
            segmented_property_category=concept(*CATEGORY),
            segmented_property_type=concept(*SEGMENTS[region][1]),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            anatomic_regions=[concept(*BRAIN)],
        )
        for number, region in enumerate(REGIONS, start=1)
    ]


def _index(images: Sequence[Any], affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the voxel of each pixel of each frame, ``(3, frames, rows, columns)``."""
    to_voxel = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)  # DICOM's x and y lead the other way
    rows, columns = np.mgrid[: int(images[0].Rows), : int(images[0].Columns)]
    found = []
    for position, axes, spacing in (frame for image in images for frame in _frames(image)):
        along_row, along_column = axes[:3] * spacing[1], axes[3:] * spacing[0]
        points = position + columns[..., None] * along_row + rows[..., None] * along_column  # (rows, columns, 3)
        found.append(points @ to_voxel[:3, :3].T + to_voxel[:3, 3])
    voxels = np.moveaxis(np.stack(found), -1, 0)
    index = np.rint(voxels).astype(int)
    limits = np.array(shape[:3]).reshape(3, 1, 1, 1)
    if np.abs(voxels - index).max() > OFF_GRID or (index < 0).any() or (index >= limits).any():
        raise InputError("the label map lies on another grid than its series: segment the series again.")
    return index


def _frames(image: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return position, direction cosines and pixel spacing of each frame."""
    frames = image.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return [_place(image, image, image)]
    shared = image.SharedFunctionalGroupsSequence[0]
    words = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return [_place(*((frame if word in frame else shared)[word].value[0] for word in words)) for frame in frames]


def _place(position: Any, axes: Any, spacing: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = (position.ImagePositionPatient, axes.ImageOrientationPatient, spacing.PixelSpacing)
    first, second, third = (np.array(value, dtype=float) for value in found)
    return first, second, third

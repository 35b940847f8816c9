"""A header that states one geometry is read so by everybody; one that states two is refused until somebody chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data.geometry import counted_affine, is_same_grid, require_geometry, voxel_sizes
from pkdr_monai.data.headers import read_header
from pkdr_monai.data.problems import UnreadableError
from pkdr_monai.errors import InputError

SHAPE = (6, 7, 8)


def turned(degrees: float, size: float = 2.0, flip: bool = False) -> np.ndarray:
    angle = np.radians(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= size
    if flip:
        affine[:, 0] *= -1
    affine[:3, 3] = 10, -20, 30
    return affine


SHEARED = turned(0) @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Stated:
    """What a header states: two affines with their codes, and voxel sizes; None leaves a field as the qform sets it."""

    sform: np.ndarray | None = None
    qform: np.ndarray | None = None
    pixdim: tuple[float, float, float] | None = None
    codes: tuple[int, int] = (1, 1)

    def write(self, path: Path) -> Path:
        image = nib.Nifti1Image(np.ones(SHAPE, np.int16), None)
        if self.qform is not None:
            image.header.set_qform(self.qform, code=self.codes[1], strip_shears=True)
        if self.sform is not None:
            image.header.set_sform(self.sform, code=self.codes[0])
        content = bytearray(image.to_bytes())
        if self.pixdim is not None:
            content[80:92] = np.array(self.pixdim, "<f4").tobytes()
        path.write_bytes(content)
        return path


CONTRADICTIONS = {
    "pixdim never written": Stated(turned(0), None, (1, 1, 1)),
    "pixdim of another scan": Stated(turned(0), None, (2, 2, 3)),
    "one axis off by 2 %": Stated(turned(0), None, (2, 2, 2.04)),
    "anisotropic sizes in another order": Stated(np.diag([1.0, 1.0, 5.0, 1.0]), None, (5, 1, 1)),
    "stale pixdim beside an oblique sform": Stated(turned(20), None, (1, 1, 1)),
    "stale pixdim beside a flipped sform": Stated(turned(0, flip=True), None, (1, 1, 1)),
    "sform scaled by a registration": Stated(turned(0, 2.2), turned(0)),
    "sform shrunk by a registration": Stated(turned(0, 1.8), turned(0)),
    "sform scaled and turned": Stated(turned(5, 2.2), turned(0)),
    "sizes halved in the qform": Stated(turned(0), turned(0, 1.0)),
    "opposite handedness": Stated(turned(0), turned(0, flip=True)),
    "opposite handedness, other codes": Stated(turned(0, flip=True), turned(0), codes=(2, 4)),
    "axes swapped": Stated(turned(0), turned(90)),
    "axes half a turn apart": Stated(turned(0), turned(180)),
    "axes 20 degrees apart": Stated(turned(0), turned(20)),
    "axes 3 degrees apart": Stated(turned(0), turned(3)),
    "in metres beside millimetres": Stated(turned(0, 0.002), None, (2, 2, 2)),
    "a pixdim that is negative and wrong": Stated(turned(0), None, (-1, 1, 1)),
}

ONE_GEOMETRY = {
    "sform and qform": (Stated(turned(0), turned(0)), turned(0)),
    "sform alone": (Stated(turned(12), None, (2, 2, 2)), turned(12)),
    "qform alone": (Stated(None, turned(12)), turned(12)),
    "flipped in both": (Stated(turned(0, flip=True), turned(0, flip=True)), turned(0, flip=True)),
    "oblique in both": (Stated(turned(33), turned(33)), turned(33)),
    "a qform cannot hold the shear": (Stated(SHEARED, SHEARED), SHEARED),
    "rounded sizes": (Stated(turned(0), None, (2.0001, 2, 2)), turned(0)),
    "half a percent": (Stated(turned(0), None, (2.01, 2, 2)), turned(0)),
    "half a degree": (Stated(turned(0), turned(0.5)), turned(0)),
    "pixdim of 0 states nothing": (Stated(turned(0), None, (0, 0, 0)), turned(0)),
    "a stale qform without its code": (Stated(turned(0), turned(40), codes=(1, 0)), turned(0)),
    "a negative pixdim": (Stated(turned(0), None, (-2, 2, 2)), turned(0)),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_two_geometries_are_refused_with_both_until_one_is_chosen(name: str, tmp_path: Path) -> None:
    stated = CONTRADICTIONS[name]
    path = stated.write(tmp_path / "a.nii")
    with pytest.raises(UnreadableError, match=r"states two geometries: sform .* mm, axes \w+; ") as caught:
        read_header(path)
    assert "--geometry sform or" in caught.value.fix
    np.testing.assert_allclose(read_header(path, "sform").affine, stated.sform, atol=1e-5)
    other = caught.value.fix.split()[-1]
    sizes = voxel_sizes(read_header(path, other).affine)
    expected = np.abs(stated.pixdim) if stated.pixdim else voxel_sizes(stated.qform)  # type: ignore[arg-type]
    np.testing.assert_allclose(sizes, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ONE_GEOMETRY)
def test_one_geometry_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    stated, affine = ONE_GEOMETRY[name]
    np.testing.assert_allclose(read_header(stated.write(tmp_path / "a.nii")).affine, affine, atol=1e-5)


def test_a_header_without_a_voxel_size_is_refused(tmp_path: Path) -> None:
    for stated in (Stated(pixdim=(0, 1, 1)), Stated(pixdim=(0, 0, 0))):
        with pytest.raises(UnreadableError, match="states no voxel size"):
            read_header(stated.write(tmp_path / "a.nii"))


def test_what_a_header_does_not_state_cannot_be_chosen(tmp_path: Path) -> None:
    path = Stated(turned(0), None, (2, 2, 2)).write(tmp_path / "a.nii")
    with pytest.raises(UnreadableError, match="states no qform") as caught:
        read_header(path, "qform")
    assert caught.value.fix == "choose --geometry sform or pixdim"
    with pytest.raises(InputError, match=r"unknown geometry 'affine': choose among header, sform, qform, pixdim"):
        require_geometry("affine")


def test_pixdim_keeps_the_axes_of_the_sform() -> None:
    header = nib.Nifti1Header()
    header.set_sform(turned(0, 2.2, flip=True), code=1)
    affine = counted_affine(header, (2.0, 2.0, 2.0), "pixdim")
    np.testing.assert_allclose(affine[:3, :3], turned(0, 2.0, flip=True)[:3, :3], atol=1e-6)


@pytest.mark.parametrize("angle", np.linspace(0.005, 0.05, 12))
def test_a_quaternions_rounding_leaves_one_grid(angle: float) -> None:
    """A near-axial grid, once by its sform and once by its float32 quaternion alone."""
    affine = turned(float(angle), 1.0)
    header = nib.Nifti1Header()
    header.set_data_shape((240, 240, 155))
    header.set_qform(affine, code=1)
    assert is_same_grid((240, 240, 155), header.get_qform(), affine)

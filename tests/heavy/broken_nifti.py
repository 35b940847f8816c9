"""NIfTI files as nobody writes them: any header, any type, cut off, flipped, or no NIfTI at all."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
from hypothesis import strategies as st

__all__ = ["broken_nifti"]

SHAPES = [(8, 9, 7), (1, 1, 1), (16, 16, 16), (3, 4), (8, 9, 7, 2), (5, 1, 5, 1), (2,), (2, 2, 2, 2, 2)]
TYPES = [np.uint8, np.int16, np.float32, np.float64, np.complex64, np.int64, np.uint16, np.int8]
FIELDS: dict[str, tuple[int, str]] = {  # of a NIfTI-1 header: where it is, and of what type
    **{f"dim{axis}": (40 + 2 * axis, "h") for axis in range(8)},
    **{f"pixdim{axis}": (76 + 4 * axis, "f") for axis in range(8)},
    **{f"srow{number}": (280 + 4 * number, "f") for number in range(12)},
    **{f"quatern{number}": (256 + 4 * number, "f") for number in range(6)},
    "sizeof_hdr": (0, "i"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "magic": (344, "i"),
    "extension": (348, "i"),
    "extension_size": (352, "i"),
}
CODES = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304]


@st.composite
def _sound(draw: st.DrawFn) -> bytearray:
    """A file as nibabel writes it, of any shape and type, scaled or not, with any affine."""
    shape, kind = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(TYPES))
    voxels = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 120, shape).astype(kind)
    voxels[..., :1] = 0
    second = draw(st.integers(0, 7)) == 0
    image = (nib.Nifti2Image if second else nib.Nifti1Image)(voxels, np.diag([8.0, 8.0, 8.0, 1.0]), dtype=kind)
    content = bytearray(image.to_bytes())
    if draw(st.booleans()):
        numbers = st.one_of(st.floats(-10, 10), st.sampled_from([0.0, 1.0, 8.0]))
        affine = draw(st.lists(numbers, min_size=12, max_size=12))
        packed = struct.pack("<12d" if second else "<12f", *affine)
        place = 400 if second else 280
        content[place : place + len(packed)] = packed
    return content


@st.composite
def _patched(draw: st.DrawFn) -> bytearray:
    """The same with a few fields of the header overwritten."""
    content = draw(_sound())
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4)):
        place, code = FIELDS[name]
        width = struct.calcsize(code)
        if code == "f":
            value = draw(st.one_of(st.floats(width=32), st.sampled_from([0.0, 352.0, 1e30, -1.0])))
        else:
            bits = 8 * width
            low, high = (0, 2**bits - 1) if code == "B" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            value = draw(st.sampled_from(CODES)) if name == "datatype" else draw(st.integers(low, high))
        content[place : place + width] = struct.pack("<" + code, value)
    return content


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Flip bytes, cut off an end, or add one."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        damaged[draw(st.integers(0, max(0, len(damaged) - 1)))] ^= draw(st.integers(1, 255))
    end = draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    return bytes(damaged[:end]) + draw(st.one_of(st.just(b""), st.binary(max_size=20)))


@st.composite
def broken_nifti(draw: st.DrawFn) -> tuple[str, bytes]:
    """The ending of a file's name, and what the file holds; one in some is sound."""
    ending = draw(st.sampled_from([".nii", ".nii.gz"]))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return ending, draw(st.binary(max_size=600))
    content = bytes(draw(_patched() if kind < 8 else _sound()))
    if kind in (1, 2):
        content = draw(_damaged(content))
    if ending == ".nii.gz" and draw(st.integers(0, 9)):
        content = gzip.compress(content, 1, mtime=0)
        if kind in (3, 4):
            content = draw(_damaged(content))
    return ending, content

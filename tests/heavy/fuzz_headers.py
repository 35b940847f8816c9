"""Search for a file on which the reading of headers fails, led by coverage: ``python -m tests.heavy.fuzz_headers``.

Atheris changes bytes so that they reach new lines of the code under test. It ends with an error at the first exception
but the one that a broken file may raise. The arguments are those of libFuzzer, such as ``-runs=20000``.
"""

from __future__ import annotations

import contextlib
import gzip
import sys
import tempfile
from pathlib import Path

import atheris
import nibabel as nib
import numpy as np

with atheris.instrument_imports(include=["pkdr_monai.data.headers", "nibabel.nifti1", "nibabel.arrayproxy"]):
    from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels

FOLDER = Path(tempfile.mkdtemp())


def read(content: bytes) -> None:
    """Read bytes as a file, compressed and not."""
    for name, stored in (("a.nii", content), ("a.nii.gz", gzip.compress(content, 1)), ("b.nii.gz", content)):
        (FOLDER / name).write_bytes(stored)
        with contextlib.suppress(UnreadableError):
            read_header(FOLDER / name)
            read_voxels(FOLDER / name)


if __name__ == "__main__":
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, family in enumerate((nib.Nifti1Image, nib.Nifti2Image)):
        image = family(np.ones((3, 4, 2), np.int16), np.eye(4))
        (corpus / str(number)).write_bytes(image.to_bytes())
    atheris.Setup([*sys.argv, str(corpus)], read)
    atheris.Fuzz()

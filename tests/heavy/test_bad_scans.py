"""Images by the thousand: each is read, or refused with one sentence; none hangs, or fills the memory."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkdr_monai.data import check_cases
from pkdr_monai.data.cases import Case
from pkdr_monai.data.preprocessing import preprocessing
from pkdr_monai.errors import InputError, plain_error_in
from pkdr_monai.inference.nifti import write_like
from pkdr_monai.inference.scans import check_scan, find_scans

from ..bundle.conftest import ROOT
from .broken_nifti import broken_nifti
from .conftest import Inputs, bounded

SPACING = (8.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scans")


@pytest.fixture(scope="module")
def preprocess() -> Callable:
    return preprocessing(SPACING)


@bounded(4000)
@given(image=broken_nifti(), label=st.one_of(st.none(), broken_nifti()))
def test_the_check_of_a_data_set_reports_and_never_raises(
    folder: Path, inputs: Inputs, image: tuple[str, bytes], label: tuple[str, bytes] | None
) -> None:
    files: dict[str, str] = {}
    for name, (ending, content) in {"t2": image, **({"seg": label} if label else {})}.items():
        files[name] = f"check_{name}{ending}"
        (folder / files[name]).write_bytes(content)
    case = Case("a", {"t2": files["t2"]}, files.get("seg"))
    problems = check_cases([case], folder, "brats2018", ["t2"], need_label=False)
    assert all(problem.what and "\n" not in problem.what and "Traceback" not in problem.what for problem in problems)
    inputs.count("data check", refused=any(problem.severity == "error" for problem in problems))


@bounded(3000)
@given(image=broken_nifti())
def test_a_scan_is_ready_for_a_network_or_refused(
    folder: Path, inputs: Inputs, preprocess: Callable, image: tuple[str, bytes]
) -> None:
    ending, content = image
    path = folder / f"scan_t2{ending}"
    path.write_bytes(content)

    def read() -> None:
        (scan,) = find_scans([path])
        check_scan(scan, ["t2"], force=True)
        try:
            seen = preprocess(scan.item(["t2"]))["image"]
        except Exception as error:  # as inference/cohort.py does
            plain = plain_error_in(error)
            if plain is None:
                raise
            raise plain from error
        assert seen.isfinite().all()
        write_like(folder / "out.nii.gz", np.zeros(nib.load(path).shape, np.uint8), path)

    inputs.try_out("predict", read)


TERABYTE = """
import resource, sys
from pathlib import Path
import torch, monai.transforms  # their libraries take address space of their own
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for read in (read_header, read_voxels)[: int(sys.argv[2])]:
    try:
        read(Path(sys.argv[1]))
    except UnreadableError as error:
        print(error)
"""


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_header_that_claims_a_terabyte_is_refused_before_anything_is_allocated(tmp_path: Path, ending: str) -> None:
    content = bytearray(nib.Nifti1Image(np.zeros((8, 9, 7), np.float64), np.eye(4)).to_bytes())
    content[40:48] = struct.pack("<4h", 3, 8192, 4096, 4096)
    path = tmp_path / f"a{ending}"
    path.write_bytes(gzip.compress(content) if ending == ".nii.gz" else content)
    words = [sys.executable, "-c", TERABYTE, str(path), "1"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "8192x4096x4096" in ended.stdout


def test_a_small_file_that_grows_to_gigabytes_is_refused_or_read_within_its_claim(tmp_path: Path) -> None:
    """A gzip that holds far more than its header claims is read no further than that."""
    content = nib.Nifti1Image(np.ones((8, 9, 7), np.int16), np.eye(4)).to_bytes()
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(content)
        for _ in range(1024):
            file.write(b"\0" * 2**20)
    words = [sys.executable, "-c", TERABYTE, str(path), "2"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


@pytest.mark.parametrize("size", [100.0, 1e6])
def test_voxels_of_a_size_that_no_head_has_are_refused_before_they_are_resampled(tmp_path: Path, size: float) -> None:
    brain = np.pad(np.full((6, 6, 6), 100, np.int16), 2)
    nib.save(nib.Nifti1Image(brain, np.diag([size, size, size, 1.0])), tmp_path / "a_t2.nii.gz")
    (scan,) = find_scans([tmp_path / "a_t2.nii.gz"])
    with pytest.raises(InputError, match="mm along an axis"):
        check_scan(scan, ["t2"], force=True)


def test_a_search_led_by_coverage_finds_no_header_to_stumble_over(inputs: Inputs) -> None:
    pytest.importorskip("atheris")
    words = [sys.executable, "-m", "tests.heavy.fuzz_headers", "-runs=20000", "-max_total_time=60", "-max_len=700"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    (runs,) = re.findall(r"Done (\d+) runs", ended.stderr)
    inputs.counts["headers, led by coverage"] = Counter(tried=int(runs))

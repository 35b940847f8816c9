"""Cases are prepared once, whoever asks and however often, and never kept beyond what they were made of."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.caching import Preparation, cache_cases, case_cache
from pkdr_monai.caching.case_cache import FileHashes, StoredArray
from pkdr_monai.errors import InputError

from .conftest import items_of, parsed

Items = list[dict[str, Any]]

needs_blosc2 = pytest.mark.skipif(not case_cache.find_spec("blosc2"), reason="blosc2 is not installed (extra fast)")


class Counted:
    """A preparation that counts its cases."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation, self.settings = preparation, preparation.settings
        self.cases: list[str] = []

    def __call__(self, item: dict[str, Any]) -> dict[str, np.ndarray]:
        self.cases.append(item["case"])
        return self.preparation(item)


@pytest.fixture
def counted(preparation: Preparation) -> Counted:
    return Counted(preparation)


@pytest.mark.parametrize("storage", ["memory", "device", pytest.param("disk", marks=needs_blosc2)])
def test_cases_come_in_the_order_of_their_items(
    items: Items, preparation: Preparation, tmp_path: Path, storage: str
) -> None:
    cases = cache_cases(items, preparation, storage, tmp_path, threads=3)
    for case, item in zip(cases, items, strict=True):
        assert (case["case"], case["scheme"]) == (item["case"], item["scheme"])
        for name, array in preparation(item).items():
            assert tuple(case[name].shape) == array.shape
            np.testing.assert_array_equal(np.asarray(case[name][(slice(None),) * 4]), array)
    assert all(isinstance(case["image"], StoredArray if storage == "disk" else torch.Tensor) for case in cases)


@needs_blosc2
def test_a_second_start_prepares_nothing(items: Items, counted: Counted, tmp_path: Path) -> None:
    for _ in range(2):
        cache_cases(items, counted, "disk", tmp_path)
    assert sorted(counted.cases) == [item["case"] for item in items]


@needs_blosc2
def test_content_counts_and_not_where_it_lies(items: Items, cohort: Path, counted: Counted, tmp_path: Path) -> None:
    cache_cases(items, counted, "disk", tmp_path / "cache")
    shutil.copytree(cohort, tmp_path / "moved")
    cache_cases(items_of(tmp_path / "moved"), counted, "disk", tmp_path / "cache")
    assert len(counted.cases) == len(items)


@needs_blosc2
def test_a_changed_file_never_meets_a_stale_cache(cohort: Path, counted: Counted, tmp_path: Path) -> None:
    shutil.copytree(cohort, tmp_path / "cohort")
    (item, *_) = items_of(tmp_path / "cohort")
    (before,) = cache_cases([item], counted, "disk", tmp_path / "cache")
    label = nib.load(item["label"])
    changed = np.asarray(label.dataobj).copy()
    changed[changed == 2] = 1
    nib.save(nib.Nifti1Image(changed, label.affine), item["label"])
    (after,) = cache_cases([item], counted, "disk", tmp_path / "cache")
    assert counted.cases == [item["case"]] * 2
    assert 2 in before["label"][(slice(None),) * 4]
    assert 2 not in after["label"][(slice(None),) * 4]


@needs_blosc2
def test_a_changed_setting_never_meets_a_stale_cache(items: Items, tmp_path: Path) -> None:
    shapes = []
    for spacing in ([6.0, 6.0, 6.0], [4.0, 4.0, 4.0], [6.0, 6.0, 6.0]):
        preparation = Preparation(parsed("preprocessing", spacing=spacing))
        (case,) = cache_cases(items[:1], preparation, "disk", tmp_path)
        shapes.append(case["image"].shape)
    assert shapes[0] == shapes[2] != shapes[1]


@needs_blosc2
def test_the_modalities_and_their_order_count(items: Items, counted: Counted, tmp_path: Path) -> None:
    for image in (items[0]["image"], items[0]["image"][::-1], items[0]["image"][:1]):
        cache_cases([{**items[0], "image": image}], counted, "disk", tmp_path)
    assert len(counted.cases) == 3


@needs_blosc2
def test_a_damaged_case_is_named_and_made_anew(
    items: Items, counted: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = cache_cases(items, counted, "disk", tmp_path)
    path = cases[1]["image"].path
    path.write_bytes(path.read_bytes()[:-100])
    again = cache_cases(items, counted, "disk", tmp_path)
    assert counted.cases[3:] == [items[1]["case"]]
    assert f"Case {items[1]['case']} in the cache: {path} is truncated or damaged. It is made again." in caplog.text
    np.testing.assert_array_equal(again[1]["image"][(slice(None),) * 4], counted.preparation(items[1])["image"])
    assert not list(tmp_path.glob("*.tmp"))


def _fill(items: Items, folder: Path, ready: Any, done: Any) -> None:
    torch.set_num_threads(1)
    preparation = Preparation(parsed("preprocessing"))
    ready.wait()
    cases = cache_cases(items, preparation, "disk", folder, threads=2)
    done.put([float(case["image"][(slice(None),) * 4].astype(np.float32).std()) for case in cases])


@needs_blosc2
@pytest.mark.slow
def test_processes_that_fill_one_folder_do_each_other_no_harm(
    items: Items, preparation: Preparation, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_fill, args=(items, tmp_path, ready, done)) for _ in range(3)]
    for process in processes:
        process.start()
    results = [done.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    expected = [float(preparation(item)["image"].astype(np.float32).std()) for item in items]
    assert all(result == pytest.approx(expected) for result in results)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == len(items)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_blosc2
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here to read the memory from")
def test_on_the_disk_memory_does_not_grow_with_the_cases(tmp_path: Path) -> None:
    class Noise:
        settings = {"kind": "noise"}

        def __call__(self, item: dict[str, Any]) -> dict[str, np.ndarray]:
            generator = np.random.default_rng(int(item["case"]))
            return {"image": generator.normal(size=(4, 64, 64, 64)).astype(np.float16)}  # 2 MB, incompressible

    def files(number: int) -> dict[str, Any]:
        path = tmp_path / str(number)
        path.write_text(path.name)
        return {"case": path.name, "image": str(path)}

    def use(cases: Items) -> int:
        for case in cases:
            case["image"][slice(None), slice(0, 32), slice(16, 48), slice(8, 40)]
        gc.collect()
        return _resident()

    before = use(cache_cases([files(number) for number in range(8)], Noise(), "disk", tmp_path / "cache"))
    cases = cache_cases([files(number) for number in range(72)], Noise(), "disk", tmp_path / "cache")
    assert use(cases) - before < 32 * 2**20  # 64 cases more are 134 MB


@pytest.mark.parametrize("storage", ["memory", pytest.param("disk", marks=needs_blosc2)])
def test_a_case_that_cannot_be_read_ends_the_caching_with_its_name(
    items: Items, preparation: Preparation, tmp_path: Path, storage: str
) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.nii\.gz cannot be read"):
        cache_cases([*items, {**items[0], "label": str(broken)}], preparation, storage, tmp_path / "cache")


def test_progress_is_told(
    items: Items, preparation: Preparation, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pkdr_monai.terminal.PROGRESS_SECONDS", 0.0)
    cache_cases(items, preparation, doing="caching training")
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"caching training: {n} of 3 cases" for n in (1, 2, 3)]


def test_without_blosc2_only_the_disk_is_refused(
    items: Items, preparation: Preparation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_cache, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs blosc2: `pip install 'pkdr-monai\[fast\]'`, or take memory or device"):
        cache_cases(items, preparation, "disk", tmp_path)
    assert len(cache_cases(items, preparation, "memory")) == 3


def test_an_unknown_storage_is_refused(items: Items, preparation: Preparation) -> None:
    with pytest.raises(InputError, match="unknown cache_storage 'ram': choose among memory, disk, device"):
        cache_cases(items, preparation, "ram")


def test_a_device_that_is_full_says_what_else_there_is(
    items: Items, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: torch.Tensor, device: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(torch.Tensor, "to", full)
    prepare: Callable[..., Any] = Counted(preparation)
    prepare.preparation = lambda item: {"image": np.zeros((1, 2, 2, 2), np.float16)}  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="do not fit on cpu: take the cache_storage memory or disk"):
        cache_cases(items, prepare, "device")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(case_cache, "SETTLED", -1.0)  # as if it had been written long ago
    (tmp_path / "scan").write_bytes(b"first")
    return tmp_path / "scan"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    read = case_cache.file_hash
    monkeypatch.setattr(case_cache, "file_hash", lambda path: seen.append(path) or read(path))
    return seen


def test_a_second_start_reads_no_file(file: Path, reads: list[Path]) -> None:
    for _ in range(2):
        hashes = FileHashes(file.parent / "hashes.json")
        assert hashes.of(file) == hashlib.sha256(b"first").hexdigest()
        hashes.save()
    assert reads == [file]


def test_a_changed_file_is_read_even_if_its_size_and_date_are_as_before(file: Path) -> None:
    hashes = FileHashes(file.parent / "hashes.json")
    hashes.of(file)
    hashes.save()
    status = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileHashes(hashes.path).of(file) == hashlib.sha256(b"other").hexdigest()


def test_a_file_written_just_now_is_not_remembered(
    file: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_cache, "SETTLED", 60.0)
    hashes = FileHashes(file.parent / "hashes.json")
    hashes.of(file)
    hashes.save()
    FileHashes(hashes.path).of(file)
    assert len(reads) == 2


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_memory_is_begun_anew(file: Path, content: str) -> None:
    path = file.parent / "hashes.json"
    path.write_text(content)
    hashes = FileHashes(path)
    assert hashes.of(file) == hashlib.sha256(b"first").hexdigest()
    hashes.save()
    assert str(file) in path.read_text()


def test_what_another_process_learnt_meanwhile_is_kept(file: Path, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(b"second")
    one, other = (FileHashes(tmp_path / "hashes.json") for _ in range(2))
    one.of(file), other.of(tmp_path / "second")
    one.save(), other.save()
    assert all(name in (tmp_path / "hashes.json").read_text() for name in ("scan", "second"))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent: No such file"):
        FileHashes(tmp_path / "hashes.json").of(tmp_path / "absent")

import hashlib
import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data import make_data_list
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom import PhantomCase, make_case, write_cohort
from pkdr_monai.phantom.cohort import MODEL_VERSION, WIDE_VERSION
from pkdr_monai.phantom.wide import make_wide_case
from pkdr_monai.runs.model_card import data_source

SHAPE, SPACING = (32, 33, 34), (5.0, 6.0, 5.0)
write_small = partial(write_cohort, shape=SHAPE, spacing=SPACING)


def sketch_case(seed, shape, spacing, grade) -> PhantomCase:
    """Stand in for ``make_case``, at no cost: what matters to a cohort is that arguments name a case."""
    rng = np.random.default_rng([seed, *shape])
    images = {modality: rng.integers(1, 900, shape).astype(np.int16) for modality in MODALITIES}
    label = np.zeros(shape, dtype=np.uint8)
    return PhantomCase(images, label, label, np.eye(4), grade, has_et=False)


@pytest.fixture
def sketched(monkeypatch) -> None:
    monkeypatch.setattr("pkdr_monai.phantom.cohort.make_case", sketch_case)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.nii.gz")}


def test_nibabel_reads_what_make_case_made(tmp_path):
    (folder,) = write_small(tmp_path, cases=1, seed=5)
    seed = int(np.random.SeedSequence([5, 0]).generate_state(1, np.uint64)[0])
    case = make_case(seed, SHAPE, SPACING, folder.parent.name)
    for kind, array in {**case.images, "seg": case.label}.items():
        image = nib.load(folder / f"{folder.name}_{kind}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), array)
        assert image.get_data_dtype() == (np.uint8 if kind == "seg" else np.int16)
        assert image.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(image.affine, [[-5, 0, 0, 0], [0, -6, 0, 192], [0, 0, 5, 0], [0, 0, 0, 1]])
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_the_model_version_names_the_bytes():
    case = make_case(1, SHAPE, SPACING)
    content = b"".join(array.tobytes() for array in (*case.images.values(), case.label))
    known = {1: "cbaf01f4310820ca"}
    assert hashlib.sha256(content).hexdigest()[:16] == known[MODEL_VERSION], "the model changed: raise MODEL_VERSION"


@pytest.mark.usefixtures("sketched")
def test_the_layout_is_brats_2018s(tmp_path):
    folders = write_small(tmp_path, cases=12)
    assert sorted(folders) == sorted(path for grade in ("HGG", "LGG") for path in (tmp_path / grade).iterdir())
    assert [folder.name for folder in folders] == [f"Phantom18_{number:04d}_1" for number in range(12)]
    for folder in folders:
        expected = {f"{folder.name}_{kind}.nii.gz" for kind in (*MODALITIES, "seg")}
        assert {path.name for path in folder.iterdir()} == expected


@pytest.mark.usefixtures("sketched")
def test_a_quarter_of_the_cases_are_of_low_grade_in_every_stretch(tmp_path):
    for seed in range(3):
        grades = [folder.parent.name for folder in write_small(tmp_path / str(seed), cases=24, seed=seed)]
        assert grades.count("LGG") in (6, 7)
        assert all(grades[start : start + 8].count("LGG") in (2, 3) for start in range(17))


@pytest.mark.usefixtures("sketched")
def test_a_larger_cohort_extends_a_smaller_one(tmp_path):
    write_small(tmp_path / "large", cases=5)
    write_small(tmp_path / "small", cases=3)
    assert contents(tmp_path / "small").items() < contents(tmp_path / "large").items()
    write_small(tmp_path / "small", cases=5)
    assert contents(tmp_path / "small") == contents(tmp_path / "large")


@pytest.mark.usefixtures("sketched")
def test_seeds_name_cohorts(tmp_path):
    first, second = (write_small(tmp_path / str(seed), cases=1, seed=seed)[0] for seed in (0, 1))
    name = f"{first.name}_t1.nii.gz"
    assert (first / name).read_bytes() != (second / name).read_bytes()


@pytest.mark.usefixtures("sketched")
def test_repeating_a_write_touches_nothing(tmp_path, monkeypatch):
    write_small(tmp_path, cases=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr("pkdr_monai.phantom.cohort.make_case", None)
    write_small(tmp_path, cases=2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("sketched")
def test_a_write_that_was_killed_can_be_repeated(tmp_path):
    folders = write_small(tmp_path, cases=2)
    whole = contents(tmp_path)
    next(folders[1].glob("*_t2.nii.gz")).unlink()
    next(folders[1].glob("*_seg.nii.gz")).unlink()
    write_small(tmp_path, cases=2)
    assert contents(tmp_path) == whole


@pytest.mark.usefixtures("sketched")
def test_progress_is_told_after_each_case(tmp_path):
    counted = []
    write_small(tmp_path, cases=2, progress=lambda done, total: counted.append((done, total)))
    assert counted == [(1, 2), (2, 2)]


@pytest.mark.usefixtures("sketched")
def test_the_record_says_how_to_make_the_cohort_again(tmp_path):
    write_small(tmp_path, cases=1, seed=3)
    record = json.loads((tmp_path / "phantom.json").read_text())
    assert record["cases"] == 1
    assert record["recipe"] == {"model_version": 1, "seed": 3, "shape": list(SHAPE), "spacing": list(SPACING)}


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("change", [{"seed": 1}, {"shape": (35, 33, 34)}, {"spacing": (5.0, 6.0, 5.5)}, {"cases": 1}])
def test_a_folder_with_another_cohort_is_refused(tmp_path, change):
    write_small(tmp_path, cases=2)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds another synthetic cohort.*Name another folder"):
        write_small(tmp_path, **{"cases": 2, **change})
    assert contents(tmp_path) == before


def test_a_wide_cohort_has_the_same_layout_and_names_of_its_own(tmp_path):
    folders = write_cohort(tmp_path, cases=4, shape=(32, 32, 32), spacing=(6.0, 6.0, 6.0), seed=5, model="wide")
    assert [folder.name for folder in folders] == [f"PhantomWide_{number:04d}_1" for number in range(4)]
    assert {folder.parent.name for folder in folders} == {"HGG", "LGG", "healthy"}
    for folder in folders:
        label = np.asarray(nib.load(folder / f"{folder.name}_seg.nii.gz").dataobj)
        assert label.any() or folder.parent.name == "healthy"
    assert json.loads((tmp_path / "phantom.json").read_text())["recipe"]["model"] == "wide"


def test_a_healthy_cohort_holds_heads_without_a_tumour_alone(tmp_path):
    folders = write_cohort(tmp_path, cases=2, shape=(32, 32, 32), spacing=(6.0, 6.0, 6.0), seed=5, model="healthy")
    assert [folder.parent.name for folder in folders] == ["healthy", "healthy"]
    images = [nib.load(folder / f"{folder.name}_t2.nii.gz").get_fdata() for folder in folders]
    assert not np.array_equal(*images)
    assert not any(nib.load(folder / f"{folder.name}_seg.nii.gz").get_fdata().any() for folder in folders)


def test_a_wide_cohort_can_be_split_and_is_synthetic(tmp_path):
    write_cohort(tmp_path, cases=10, shape=(32, 32, 32), spacing=(6.0, 6.0, 6.0), model="wide")
    assert data_source(make_data_list(tmp_path))["synthetic"]


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a model of brats2018 or wide or healthy"):
        write_small(tmp_path, model="narrow")


def test_the_wide_version_names_the_bytes():
    case = make_wide_case(1, SHAPE, SPACING)
    content = b"".join(array.tobytes() for array in (*case.images.values(), case.label))
    known = {2: "c66182c7327bb8b3"}
    assert hashlib.sha256(content).hexdigest()[:16] == known[WIDE_VERSION], "the model changed: raise WIDE_VERSION"


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "HGG").mkdir()
    with pytest.raises(InputError, match="is not empty"):
        write_small(tmp_path, cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["HGG"]


@pytest.mark.parametrize("change", [{"cases": 0}, {"seed": -1}])
def test_counts_out_of_range_are_named(tmp_path, change):
    with pytest.raises(InputError, match="at least 1 case and a seed of 0 or more"):
        write_small(tmp_path, **change)
    assert not any(tmp_path.iterdir())


def test_a_shape_out_of_range_leaves_no_trace(tmp_path):
    with pytest.raises(InputError, match="32 voxels or more"):
        write_cohort(tmp_path / "new", cases=1, shape=(8, 8, 8))
    assert not (tmp_path / "new").exists()

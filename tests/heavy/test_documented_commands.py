"""Every command of the documents is typed as it stands there, in a checkout whose configs have smaller numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkdr_monai.files import write_json
from pkdr_monai.phantom import write_cohort

from ..bundle.conftest import ROOT, TINY, type_in_a_shell

DOCUMENTS = [  # the README first: what it trains, the others use
    "README.md",
    "docs/data.md",
    "docs/phantom.md",
    "docs/predict.md",
    "docs/report.md",
    "docs/training.md",
    "docs/fine_tuning.md",
    "docs/bundle.md",
    "docs/speed.md",
    "experiments/README.md",
    "bundle/docs/README.md",
]
ELSEWHERE = {
    "CONTRIBUTING.md": "tests/bundle/test_adding_a_method.py",
    "docs/flare.md": "tests/consumers",
    "docs/monai_label.md": "tests/consumers",
    "docs/prepare.md": "tests/heavy/test_brain_extraction.py, which writes DICOM",
    "docs/scores.md": "tests/cli/test_score.py, which has predictions of labelled cases",
    "benchmarks/README.md": "make bench: ten minutes on a machine with nothing else to do",
}
LEFT_OUT = re.compile(
    r"^(make |PKDR_REAL_DATA"  # what runs this test
    r"|python -m venv|pip install"  # what `make` does
    r"|.* \.\.\. "  # no whole command
    r"|python -m monai.bundle download_large_files)"  # tests/bundle/test_zip.py, which has a server to fetch from
)
PROGRAM = re.compile(r"(pkdr|python|torchrun|make|pip|cd|monailabel|[A-Z_]+=\S+) ")
SMALL = TINY | {"max_epochs": 1}
CASES = ["Phantom18_0000_1", "Phantom18_0002_1"]
SMALLER = {
    "--cases 24 --shape 120,120,78 --spacing 2": "--cases 1 --shape 40,40,32 --spacing 6",
    "--cases 24 --wide --shape 96,112,80 --spacing 2": "--cases 1 --wide --shape 40,40,32 --spacing 6",
    "--cases 24 --healthy --shape 96,112,80 --spacing 2": "--cases 1 --healthy --shape 40,40,32 --spacing 6",
    "--cases 24": "--cases 1 --shape 40,40,32 --spacing 6",
    "--nproc_per_node=4": "--nproc_per_node=2",
    "bundle build": "bundle build --check_shape 40,40,32",
    "table1 --cohort phantom --smoke": "table1 --cohort phantom --smoke --modalities t2",
    "Brats18_2013_0_1": CASES[0],
    "Brats18_2013_1_1": CASES[1],
    "BraTS20_Training_355": CASES[0],
    "FOLDER": "BraTS2018",
    'bundle/models/model.pt --spacing "[2,2,2]" --roi_size "[64,80,64]"': "runs/any_subset/models/model.pt",  # as small
    "--initial_weights bundle/models/model.pt --learning_rate": (
        f"--initial_weights {ROOT}/bundle/models/model.pt --learning_rate"
    ),
    "--max_epochs 90 --val_interval 15": "--max_epochs 1 --val_interval 1",
    "--max_epochs 50 --val_interval 25": "--max_epochs 1 --val_interval 1",
    " --schema meta_schema_20240725.json": "",  # a file on the web
    "file:///path/to/": "file://$PWD/dist/",
    "cd bundles/pkdr_brats_mri": "cp -r new_scans bundles/pkdr_brats_mri; cd bundles/pkdr_brats_mri",
}


def commands_of(document: str) -> Iterator[str]:
    """Yield the indented blocks that are commands, each as one script."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    for block in re.findall(r"(?:^    .*\n)+", re.sub(r"\\\n *", "", text), re.MULTILINE):
        lines = [line.strip() for line in block.splitlines()]
        if PROGRAM.match(lines[0]):
            script = "\n".join(line for line in lines if not LEFT_OUT.match(line))
            if script:
                yield script


def _type(script: str, folder: Path, checkout: Path) -> None:
    if re.search(r"train.* --modality t2", script) and not re.search(r"evaluat|experiments", script):
        shutil.rmtree(folder / "runs" / "pkdr_t2", ignore_errors=True)  # several documents train it again
    type_in_a_shell(script, folder, checkout)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with small numbers in its configs, beside a small data set, after the README's commands."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("bundle", "experiments", "pkdr_monai"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train", "inference", "demo"):
        config = folder / "bundle" / "configs" / f"{name}.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        write_json(config, settings | {key: value for key, value in SMALL.items() if key in settings})
    write_cohort(folder / "BraTS2018", cases=20, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0), seed=1)
    first, second = (folder / "BraTS2018" / "HGG" / case for case in CASES)
    for scans in ("new_scans", "scans"):
        (folder / scans).mkdir()
        shutil.copy(first / f"{CASES[0]}_t2.nii.gz", folder / scans / "ann_t2.nii.gz")
    shutil.copy(first / f"{CASES[0]}_t2.nii.gz", folder / "new_t2.nii.gz")
    for label in sorted((folder / "BraTS2018").glob("*/*/*_seg.nii.gz"))[:6]:  # a cohort of one modality, one of all
        shutil.copytree(label.parent, folder / "complete_cases" / label.parent.name)
        (folder / "cases" / label.parent.name).mkdir(parents=True)
        for file in (label, label.with_name(label.name.replace("_seg", "_t2"))):
            shutil.copy(file, folder / "cases" / label.parent.name)
    for name in ("x", "scan_flair"):
        shutil.copy(second / f"{CASES[1]}_flair.nii.gz", folder / f"{name}.nii.gz")
    cases = [path.name for path in (folder / "BraTS2018").glob("*/*") if path.is_dir()]
    (folder / "patients.csv").write_text("case,patient\n" + "".join(f"{case},{case}\n" for case in sorted(cases)))
    write_json(folder / "my_split.json", {"train": CASES, "val": ["Phantom18_0003_1"], "test": ["Phantom18_0004_1"]})
    for script in commands_of("README.md"):
        _type(script, folder, folder)
    data = "--dataset_dir BraTS2018 --data_list_file brats2018.json"
    _type(f"pkdr train student {data} --modality flair", folder, folder)
    _type(f"pkdr train student {data} --overlays experiments/table1/plain_teacher.yaml", folder, folder)
    overlays = "experiments/controls/monai_vnet.yaml,experiments/table1/unimodal.yaml"
    _type(f"pkdr train student {data} --overlays {overlays} --run_name monai_vnet_t2", folder, folder)
    (folder / "demo").mkdir()
    (folder / "demo" / "runs").symlink_to("../runs")
    for name in ("BraTS2018", "new_scans"):
        (folder / "bundle" / name).symlink_to(folder / name)
    shutil.copy(folder / "brats2018.json", folder / "bundle" / "datalist.json")
    shutil.copytree(folder / "runs" / "pkdr_t2" / "models", folder / "bundle" / "models", dirs_exist_ok=True)
    return folder


def test_the_readmes_commands_leave_what_it_says(checkout: Path) -> None:
    for result in (
        "runs/teacher/models/model.pt",
        "runs/pkdr_t2/models/model.pt",
        "predictions/ann/ann_seg.nii.gz",
        "segmentations/ann_t2_seg.nii.gz",
    ):
        assert (checkout / result).is_file(), result


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if document != "README.md"])
def test_what_a_document_says_to_type_works(checkout: Path, document: str) -> None:
    scripts = list(commands_of(document))
    assert scripts
    for script in scripts:
        _type(script, checkout / "bundle" if document.startswith("bundle/") else checkout, checkout)


def test_no_document_has_commands_that_nothing_types() -> None:
    """Those in the tutorial, in blocks that say which shell they are for, are typed by tests/bundle."""
    folders = (".", "docs", "bundle/docs", "experiments", "benchmarks")
    documents = {path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).glob("*.md")}
    with_commands = {document for document in documents if list(commands_of(document))}
    assert with_commands - set(ELSEWHERE) == set(DOCUMENTS)

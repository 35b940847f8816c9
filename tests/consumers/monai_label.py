"""MONAI Label: a server without a screen segments through HTTP, learns from labels, and segments with what it learnt.

docs/monai_label.md says the same for a reader, command by command.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.bundle import ConfigParser

from pkdr_monai.modalities import MODALITIES
from tests.consumers.workshop import NAME, Workshop, read, require, run, settings

FLAIR = "pkdr_flair"
PACKAGES = ("monailabel==0.8.5", "monai==1.5.2", "pydicom<3", "pynetdicom<3", "dicomweb-client<0.60")
# MONAI Label imports both names and calls neither here; the torchvision that it brings does not fit this torch.
STUB = """def make_grid(*arguments, **options):
    raise NotImplementedError("torchvision does not fit this build of torch")


save_image = make_grid
"""


def trial(workshop: Workshop) -> str:
    """Serve the bundle, ask for segmentations and for a training, and return what was seen."""
    programs = workshop.environment("monai_label", *PACKAGES)
    _stand_in_for_torchvision(programs)
    bench = workshop.bench("monai_label")
    path = f"{programs}:{settings()['PATH']}"
    words = (programs / "monailabel", "apps", "--download", "--name", "monaibundle", "--output", bench)
    run(words, bench / "log.txt", PATH=path)
    bundle = workshop.unpack(bench / "monaibundle" / "model")
    (bundle / "models" / "teacher").mkdir()
    shutil.copy(workshop.teacher, bundle / "models" / "teacher" / "model.pt")
    _prepare_training(bundle / "configs")
    scans = _scans(workshop, bench / "studies")
    before = workshop.segment(bench / "studies" / f"{scans[-1]}.nii.gz", bundle, bench / "before")
    with _server(programs, bench, path, NAME) as address:
        answers = _answers(programs, bench, address, NAME, scans)
    for answer in answers["before"]:
        require(np.array_equal(read(Path(answer)), before), f"{answer} is not what MONAI makes of that scan")
    after = workshop.segment(bench / "studies" / f"{scans[-1]}.nii.gz", bundle, bench / "after")
    require(np.array_equal(read(Path(answers["after"])), after), "after training, the old weights segment")
    require(not np.array_equal(before, after), "training changed nothing")
    require(answers["labels"] == {"necrotic core": 1, "oedema": 2, "enhancing tumour": 4}, f"{answers['labels']}")
    dice = _weights_that_come_along(workshop, programs, bench, path)
    return (
        f"T2 and four modalities segmented as MONAI does, {answers['cases']} cases learnt from, the result served; "
        f"a FLAIR by the weights that come along: Dice of the whole tumour {dice:.2f}"
    )


def _weights_that_come_along(workshop: Workshop, programs: Path, bench: Path, path: str) -> float:
    """Serve them for FLAIR alone, and return the Dice of the whole tumour of a synthetic patient."""
    case = workshop.patient(bench / "patient")
    scan = f"{case.name}_flair"
    shutil.copy(case / f"{scan}.nii.gz", bench / "studies")
    bundle = workshop.shipped(bench / "monaibundle" / "model", FLAIR, "flair")
    expected = workshop.segment(bench / "studies" / f"{scan}.nii.gz", bundle, bench / "flair")
    with _server(programs, bench, path, FLAIR) as address:
        (answer,) = _answers(programs, bench, address, FLAIR, [scan])["before"]
    found, truth = read(Path(answer)), read(case / f"{case.name}_seg.nii.gz")
    require(np.array_equal(found, expected), f"{answer} is not what MONAI makes of that scan")
    dice = 2 * float(((found > 0) & (truth > 0)).sum()) / float((found > 0).sum() + (truth > 0).sum())
    require(dice > 0.5, f"the Dice of the whole tumour is {dice:.2f}")
    return dice


def _answers(programs: Path, bench: Path, address: str, model: str, scans: list[str]) -> dict[str, Any]:
    words = (programs / "python", Path(__file__).with_name("monai_label_client.py"), address, model, bench)
    answers: dict[str, Any] = json.loads(run((*words, *scans), bench / "client.txt").splitlines()[-1])
    return answers


def _prepare_training(configs: Path) -> None:
    """Merge monai_label.json into train.json, the one file that MONAI Label reads."""
    files = [str(configs / name) for name in ("train.json", "monai_label.json")]
    ConfigParser.export_config_file(ConfigParser.load_config_files(files), files[0], indent=4)


def _scans(workshop: Workshop, studies: Path) -> list[str]:
    """Write each case as one file of four modalities, and the last one's T2 alone as well; return the names."""
    studies.mkdir()
    for case in workshop.cases():
        volumes = [nibabel.load(case / f"{case.name}_{modality}.nii.gz") for modality in MODALITIES]
        stacked = np.stack([np.asarray(volume.dataobj) for volume in volumes], axis=-1)
        nibabel.save(nibabel.Nifti1Image(stacked, volumes[0].affine), studies / f"{case.name}.nii.gz")
        shutil.copy(case / f"{case.name}_seg.nii.gz", studies.with_name(f"{case.name}_label.nii.gz"))
    shutil.copy(case / f"{case.name}_t2.nii.gz", studies)
    return [*(case.name for case in workshop.cases()), f"{case.name}_t2"]


@contextmanager
def _server(programs: Path, bench: Path, path: str, model: str) -> Iterator[str]:
    """Run the server, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["monailabel", "start_server", "--app", "monaibundle", "--studies", "studies", "--host", "127.0.0.1"]
    words += ["--port", port, "--conf", "models", model, "--conf", "zoo_source", "ngc", "--conf", "sam2", "false"]
    with (bench / "server.txt").open("w") as log:
        server = subprocess.Popen(words, cwd=bench, env=settings(PATH=path), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _stand_in_for_torchvision(programs: Path) -> None:
    """Put two empty functions, which MONAI Label imports, in the place of a torchvision that does not import."""
    python = programs / "python"
    fits = subprocess.run([python, "-c", "import torchvision.utils"], capture_output=True, check=False).returncode == 0
    if not fits:
        log = programs.parent / "torchvision.log"
        run((programs / "pip", "uninstall", "--yes", "torchvision"), log)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        package = programs.parent / "lib" / version / "site-packages" / "torchvision"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "utils.py").write_text(STUB)

"""MONAI Deploy: its bundle operator, in an application that Holoscan runs without a GPU, reads the folder and model.ts.

Not tried: the packaging as a container (``monai-deploy package``), which needs Docker and NVIDIA's base image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.consumers.workshop import Workshop, needed, read, require, run

PACKAGES = ("monai-deploy-app-sdk==4.0.0", "holoscan-cu13==4.0.0", "pydicom", "highdicom")


def trial(workshop: Workshop) -> str:
    """Segment a scan by the unpacked bundle and by its TorchScript file, and return what was seen."""
    programs = workshop.environment("deploy", *needed(), *PACKAGES)
    bench = workshop.bench("deploy")
    bundle = workshop.unpack(bench)
    (case, *_) = workshop.cases()
    scan = case / f"{case.name}_t2.nii.gz"
    expected = workshop.segment(scan, bundle, bench / "expected")
    for read_as, model in (("folder", bundle), ("TorchScript", bundle / "models" / "model.ts")):
        result = bench / f"{read_as}.nii.gz"
        words = (programs / "python", Path(__file__).with_name("deploy_app.py"), scan, model, result)
        run(words, bench / "log.txt", bench, PYTHONPATH=str(bundle))
        require(result.is_file(), f"the application wrote nothing from the {read_as}: see {bench}/log.txt")
        require(np.array_equal(read(result), expected), f"from the {read_as} it is not what MONAI makes of that scan")
    return "folder and model.ts segment as MONAI does, on the CPU; not tried: packaging as a container"

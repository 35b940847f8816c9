"""NVIDIA FLARE: two simulated hospitals train one student together, each with a teacher that stays where it is.

The job is the one of docs/flare.md.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch

from pkdr_monai.files import file_hash
from pkdr_monai.networks import read_tensors
from tests.consumers.workshop import NAME, ROOT, Workshop, needed, require, run, settings

PACKAGES = ("monai-nvflare==0.4.0", "nvflare==2.7.3")
SITES = ("site-1", "site-2")
PAGE = ROOT / "docs" / "flare.md"


def trial(workshop: Workshop) -> str:
    """Simulate two rounds, look at what was exchanged, segment with it, and return what was seen."""
    programs = workshop.environment("flare", *needed(), *PACKAGES)
    bench = workshop.bench("flare")
    for number, name in enumerate(("server", *SITES)):
        bundle = workshop.unpack(bench / name)
        if name != "server":
            workshop.cohort(bench / name, seed=number)
            (bench / name / "teacher").mkdir()
            shutil.copy(workshop.teacher, bench / name / "teacher" / "model.pt")
    _write_job(bench)
    words = (programs / "nvflare", "simulator", "job", "--workspace", "workspace", "-n", "2", "-t", "2")
    path = f"{programs}:{settings()['PATH']}"
    said = run(words, bench / "log.txt", bench, PYTHONPATH=str(bench / "server" / NAME), PATH=path)
    for number in (0, 1):
        require(f"aggregating 2 update(s) at round {number}" in said, f"round {number} lacks a client: {bench}/log.txt")
    (saved,) = (bench / "workspace").rglob("FL_global_model.pt")
    exchanged = read_tensors(saved)["model"]
    shipped = read_tensors(bundle / "models" / "model.pt")
    require(set(exchanged) == set(shipped), "more or less than the student was exchanged")
    change = max(float((exchanged[name] - shipped[name]).abs().max()) for name in shipped if name.endswith("weight"))
    require(0 < change < 0.1, f"weights changed by {change} at most: not two epochs' worth from those of the bundle")
    for site in SITES:
        kept = bench / site / "teacher" / "model.pt"
        require(file_hash(kept) == file_hash(workshop.teacher), f"the teacher of {site} has changed")
        require((bench / site / "run" / "history.csv").read_text().count("\n") == 3, f"{site} has not run two epochs")
    torch.save(exchanged, bundle / "models" / "model.pt")
    (case, *_) = workshop.cases()
    workshop.segment(case / f"{case.name}_t2.nii.gz", bundle, bench / "segmented")
    return f"2 clients, 2 rounds, {len(exchanged)} tensors of the student exchanged and nothing else, a scan segmented"


def _write_job(bench: Path) -> None:
    """Write the files of the page, with a client's app for each site."""
    files = dict(re.findall(r"`([\w/]+\.json)`.*?```json\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for name, content in files.items():
        for site in SITES if "/client/" in name else ("server",):
            file = bench / name.replace("/client/", f"/{site}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content.replace("/srv/pkdr", str(bench / site)))

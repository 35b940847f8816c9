"""Results as a BIDS derivative: label maps with their tables of labels, and what generated them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai import __version__
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, content_hash, read_object, write_json, writing_to
from pkdr_monai.inference.statements import NOTE
from pkdr_monai.regions import TISSUES, scheme_labels

__all__ = ["FOLDER", "bids_name", "write_derivative"]

FOLDER = "bids"
VERSION = "1.9.0"  # of BIDS
NAME = "pkdr"
ENTITIES = re.compile(
    r"sub-(?P<sub>[A-Za-z0-9]+)(?:_ses-(?P<ses>[A-Za-z0-9]+))?(?P<further>(?:_(?:acq|ce|run)-[A-Za-z0-9]+)*)"
)
SUFFIX = "space-orig_desc-tumour_dseg"
README = """Segmentations of brain tumours by PKDR, one for each subject and session, on the grid of the image.

{note}

The labels of each map stand in the TSV file beside it. Subjects whose names were not those of BIDS are named by the
letters and digits of their case's name.
"""


def bids_name(case: str) -> tuple[str, str]:
    """Return the folder and the start of the file's name that BIDS has for a case.

    Names of BIDS are kept, with acq-, ce- and run-. Of other names the letters and digits A to Z, a to z and 0 to 9 are
    the subject's label; a name that has none of these is named by a hash.

    Example:
        >>> bids_name("sub-01_ses-2_run-1")
        ('sub-01/ses-2/anat', 'sub-01_ses-2_run-1')
        >>> bids_name("Brats18_2013_11_1")
        ('sub-Brats182013111/anat', 'sub-Brats182013111')
    """
    found = ENTITIES.fullmatch(case)
    if found is None:
        label = re.sub(r"[^A-Za-z0-9]", "", case) or content_hash(case)[:12]
        return f"sub-{label}/anat", f"sub-{label}"
    session = f"/ses-{found['ses']}" if found["ses"] else ""
    return f"sub-{found['sub']}{session}/anat", case


def write_derivative(output: str | Path, cases: Sequence[Mapping[str, Any]]) -> Path:
    """Write the segmentations of a prediction as a BIDS derivative, each file whole or not at all.

    What another prediction into the same folder wrote of other cases stays.

    Args:
        output: the prediction's folder; the data set is ``bids`` in it.
        cases: what became of each, as :func:`pkdr_monai.inference.predict` returns it; failed ones are left out.

    Returns:
        The data set's folder.

    Raises:
        InputError: when two cases have one name in BIDS, the folder holds another data set, or it cannot be written.
    """
    output = Path(output)
    folder = output / FOLDER
    done = [case for case in cases if case["status"] != "failed"]
    _refuse_one_name(done)
    _refuse_other_data_set(folder)
    with writing_to(folder):
        write_json(folder / "dataset_description.json", _description())
        _write(folder / "README", README.format(note=NOTE))
        for case in done:
            _write_case(output, folder, case)
    return folder


def _write_case(output: Path, folder: Path, case: Mapping[str, Any]) -> None:
    place, start = bids_name(case["case"])
    source = output / case["case"] / f"{case['case']}_seg.nii.gz"
    target = folder / place / f"{start}_{SUFFIX}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as label, atomic_write(target.with_name(f"{target.name}.nii.gz")) as file:
        shutil.copyfileobj(label, file)
    values = scheme_labels(case["label_scheme"])
    rows = [(0, "background", "BG"), *((value, TISSUES[name], name.upper()) for name, value in values.items())]
    table = "".join(f"{value}\t{name}\t{short}\n" for value, name, short in sorted(rows))
    _write(target.with_name(f"{target.name}.tsv"), f"index\tname\tabbreviation\n{table}")
    content = {
        "Description": f"Brain tumour, segmented automatically. {NOTE}",
        "Manual": False,
        "SpatialReference": "orig",
        "LabelScheme": case["label_scheme"],
    }
    write_json(target.with_name(f"{target.name}.json"), content)


def _description() -> dict[str, Any]:
    generator = {"Name": NAME, "Version": __version__, "Description": f"pkdr predict --bids. {NOTE}"}
    return {
        "Name": "Brain tumour segmentations by PKDR",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generator],
    }


def _refuse_one_name(cases: Sequence[Mapping[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for case in cases:
        name = bids_name(case["case"])[1]
        other = seen.setdefault(name.casefold(), case["case"])
        if other != case["case"]:
            raise InputError(
                f"{other} and {case['case']} would both be {name} in BIDS: rename one. Their own results "
                "stay; no BIDS data set was written."
            )


def _refuse_other_data_set(folder: Path) -> None:
    """Refuse a folder that this did not write."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        generators = read_object(folder / "dataset_description.json").get("GeneratedBy")
    except InputError:
        generators = None
    first = generators[0] if isinstance(generators, list) and generators else None
    if not (isinstance(first, dict) and first.get("Name") == NAME):
        raise InputError(f"{folder} is there and was not written by pkdr predict: move it, or choose another --output.")


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())

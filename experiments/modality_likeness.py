"""How often a wrong modality is noticed, and the fit behind it: `python -m experiments.modality_likeness BRATS2018`.

The logistic model of pkdr_monai/data/likeness.py is fitted to every second of the real cases, in the order of their
names, and to synthetic patients: 10 of the narrow setting and 35 of the wide one, which count less. The other real
cases, and 10 and 35 other synthetic patients, are measured, and those of the fit too. `--measure` keeps the fit that
comes with the package and measures it. Nothing of a patient but the fit, with medians over twelve cases, is written.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from experiments.steps import ROOT
from pkdr_monai.data import find_cases, likeness
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.case import make_case
from pkdr_monai.phantom.wide import make_wide_case

FIT = ROOT / "pkdr_monai" / "data" / "likeness.py"
RESULT = ROOT / "experiments" / "results" / "modality_likeness.csv"
SHAPE, SPACING = (64, 72, 56), (3.0, 3.0, 3.0)
SEED = 7_000
NARROW, WIDE = 20, 70
WEIGHTS = {"real": 1.0, "narrow": 0.3, "wide": 0.1}
RIDGE = 0.3

Patient = dict[str, np.ndarray]
"""Features by modality."""


def main(words: Sequence[str] | None = None) -> int:
    """Fit, measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="cases of BraTS 2018")
    parser.add_argument("--measure", action="store_true", help="keep the fit")
    options = parser.parse_args(words)
    patients = {"real": list(_real(options.folder)), **synthetic_patients()}
    fitted = {source: part[::2] for source, part in patients.items()}
    held_out = {source: part[1::2] for source, part in patients.items()}
    if not options.measure:
        _write_fit(fitted)
    rows = [["patients", "part", "given as", "is", "noticed", "of"]]
    for part, groups in (("fitted", fitted), ("held out", held_out)):
        for source, group in groups.items():
            rows += [[source, part, *row] for row in assignments(group)]
            rows += [[source, part, *row] for row in swaps(group)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_write(RESULT) as file:
        file.write(text.getvalue().encode())
    sys.stdout.write(text.getvalue())
    return 0


def synthetic_patients() -> dict[str, list[Patient]]:
    """Return the features of the synthetic patients by setting."""
    affine = np.diag([*SPACING, 1.0])
    makers = {"narrow": (make_case, NARROW), "wide": (make_wide_case, WIDE)}
    return {
        name: [measured(make(SEED + seed, SHAPE, SPACING).images, affine) for seed in range(count)]
        for name, (make, count) in makers.items()
    }


def measured(images: dict[str, np.ndarray], affine: np.ndarray) -> Patient:
    """Return the features of a patient's images, without those that are too poor to say."""
    found = {name: likeness.image_features(image, affine) for name, image in images.items()}
    return {name: features for name, features in found.items() if features is not None}


def assignments(patients: Sequence[Patient]) -> Iterator[list[object]]:
    """Yield for each modality that one image is given as, and each that it is, how often doubt is said."""
    for given, true in itertools.product(MODALITIES, MODALITIES):
        cases = [patient[true] for patient in patients if true in patient]
        noticed = sum(bool(list(likeness.doubtful_modalities({given: features}))) for features in cases)
        yield [given, true, noticed, len(cases)]


def swaps(patients: Sequence[Patient]) -> Iterator[list[object]]:
    """Yield for all four images, as they are and with two of them swapped, how often doubt of those two is said."""
    whole = [patient for patient in patients if len(patient) == len(MODALITIES)]
    yield ["all", "all", sum(bool(list(likeness.doubtful_modalities(patient))) for patient in whole), len(whole)]
    for one, other in itertools.combinations(MODALITIES, 2):
        noticed = 0
        for patient in whole:
            given = {**patient, one: patient[other], other: patient[one]}
            doubts = {name for doubt in likeness.doubtful_modalities(given) for name in doubt.modalities}
            noticed += bool(doubts & {one, other})
        yield [f"{one}+{other}", f"{other}+{one}", noticed, len(whole)]


def _real(folder: Path) -> Iterator[Patient]:
    for case in find_cases(folder).cases:
        files = {modality: folder / path for modality, path in case.modalities.items()}
        affine = read_header(files["t1"]).affine
        yield measured({modality: read_voxels(path) for modality, path in files.items()}, affine)


def _write_fit(patients: dict[str, list[Patient]]) -> None:
    rows = [
        (features, MODALITIES.index(name), WEIGHTS[source])
        for source, group in patients.items()
        for patient in group
        for name, features in patient.items()
    ]
    raw, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    weight = np.array([row[2] for row in rows])
    drawn = likeness.squeeze(raw)
    centre = np.average(drawn, axis=0, weights=weight)
    scale = np.sqrt(np.average((drawn - centre) ** 2, axis=0, weights=weight))
    matrix, bias = _logistic((drawn - centre) / scale, truth, weight)
    real = weight == WEIGHTS["real"]
    usual = [np.median(raw[real & (truth == place)], axis=0) for place in range(len(MODALITIES))]
    values = {"CENTRE": centre, "SCALE": scale, "WEIGHTS": matrix, "BIAS": bias, "USUAL": np.array(usual)}
    for name, value in values.items():
        setattr(likeness, name, np.round(value, 4).tolist())
    head = FIT.read_text(encoding="utf-8").partition("\nCENTRE")[0]
    shown = "\n".join(f"{name} = {_python(np.round(value, 4).tolist())}" for name, value in values.items())
    with atomic_write(FIT) as file:
        file.write(f"{head}\n{shown}\n".encode())


def _python(value: list[object]) -> str:
    if isinstance(value[0], list):
        return "[\n" + "".join(f"    {row},\n" for row in value) + "]"
    return str(value)


def _logistic(features: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic model with a ridge penalty: weights ``(F, 4)`` and bias ``(4,)``."""
    classes, count = len(MODALITIES), features.shape[1]
    wanted = np.eye(classes)[truth]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix, bias = flat[: count * classes].reshape(count, classes), flat[count * classes :]
        scores = features @ matrix + bias
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        error = (np.exp(scores) - wanted) * weight[:, None]
        value = -(weight[:, None] * wanted * scores).sum() + RIDGE * (matrix**2).sum() / 2
        return float(value), np.concatenate([(features.T @ error + RIDGE * matrix).ravel(), error.sum(axis=0)])

    found = minimize(loss, np.zeros((count + 1) * classes), jac=True, method="L-BFGS-B").x
    return found[: count * classes].reshape(count, classes), found[count * classes :]


if __name__ == "__main__":
    sys.exit(main())

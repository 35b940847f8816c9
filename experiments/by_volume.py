"""Where a method gains over another: its difference in Dice against the volume of each test case's tumour.

    python -m experiments.by_volume experiments/results/phantom runs/phantom/data
    python -m experiments.by_volume experiments/results/brats2018-24 BRATS2018 --modality t2

The volumes are read from the labels in the data set's folder; the scores are those of the committed results, averaged
over the seeds. The table has, for each method, its difference to the reference in the mean of the three regions, in
points of Dice: in all cases, in the half with the smaller whole tumours, in the other half, and Spearman's rank
correlation between difference and volume, with its p after Holm's correction for the number of methods.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from experiments.results_tables import labels_of
from pkdr_monai.data import find_cases
from pkdr_monai.data.fingerprint import fingerprint
from pkdr_monai.errors import InputError
from pkdr_monai.studies import read_study
from pkdr_monai.studies.results import COLUMNS, Scores
from pkdr_monai.studies.statistics import holm
from pkdr_monai.studies.tables import markdown_table, p_value

MEAN = COLUMNS.index("mean")


def main(arguments: Sequence[str]) -> int:
    """Print the volumes of the cohort and the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.by_volume", description=__doc__.split("\n\n")[0])
    parser.add_argument("study", help="folder of a study's results")
    parser.add_argument("dataset_dir", help="folder of the data set, whose labels are measured")
    parser.add_argument("--modality", default="t2", help="what the students see (%(default)s)")
    parser.add_argument("--reference", default="table1/unimodal", help="compare with this one (%(default)s)")
    options = parser.parse_args(arguments)
    study = read_study(options.study)
    cohort = find_cases(options.dataset_dir)
    volumes = whole_tumours(fingerprint(cohort.cases, options.dataset_dir, cohort.label_scheme))
    scores = {cell: found for (cell, modality), found in study.scores.items() if modality == options.modality}
    if options.reference not in scores:
        raise InputError(f"{options.study} has no result of {options.reference} on {options.modality}.")
    base = scores.pop(options.reference)
    labels = labels_of(study)
    methods = [cell for cell in labels if cell in scores]
    gains = [Gain.of(scores[cell], base, volumes) for cell in methods]
    corrected = holm([gain.p for gain in gains])
    rows = [[labels[cell], *gain.cells, p_value(p)] for cell, gain, p in zip(methods, gains, corrected, strict=True)]
    quartiles = np.percentile([volumes[case] for case in base.cases], [25, 50, 75])
    sys.stdout.write(
        f"{len(base.cases)} test cases, whole tumour of {quartiles[1]:.0f} mL in the median "
        f"(quartiles {quartiles[0]:.0f} and {quartiles[2]:.0f})\n\n"
    )
    header = ["method", "difference", "smaller half", "larger half", "correlation", "p, Holm"]
    sys.stdout.write(markdown_table(header, rows) + "\n")
    return 0


def whole_tumours(measured: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]) -> dict[str, float]:
    """Return the volume of the whole tumour of each case that has a label, in mL."""
    return {str(entry["case"]): entry["volumes_ml"]["wt"] for entry in measured["cases"] if "volumes_ml" in entry}


@dataclass(frozen=True)
class Gain:
    """What a method gains over the reference, in points of mean Dice, and how that hangs on the tumour's volume.

    Args:
        every: mean difference of all cases.
        small: of the half with the smaller whole tumours, the median one included.
        large: of the other half.
        correlation: Spearman's, between difference and volume.
        p: of the correlation.
    """

    every: float
    small: float
    large: float
    correlation: float
    p: float

    @classmethod
    def of(cls, method: Scores, base: Scores, volumes: Mapping[str, float]) -> Gain:
        """Compare two methods on the cases of both.

        Raises:
            InputError: when a test case has no label in the data set.
        """
        common = sorted(set(method.cases) & set(base.cases))
        absent = [case for case in common if case not in volumes]
        if absent:
            raise InputError(
                f"the data set has no label of test case {absent[0]}: name the folder of that study's cases."
            )
        gain = 100 * (method.on(common).case_means - base.on(common).case_means)[:, MEAN]
        volume = np.array([volumes[case] for case in common])
        small = volume <= np.median(volume)
        test = spearmanr(volume, gain)
        parts = [float(part.mean()) for part in (gain, gain[small], gain[~small])]
        return cls(*parts, float(test.statistic), float(test.pvalue))

    @property
    def cells(self) -> list[str]:
        """The numbers as a table has them."""
        return [*(f"{points:+.2f}" for points in (self.every, self.small, self.large)), f"{self.correlation:+.2f}"]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(InputError.exit_code)

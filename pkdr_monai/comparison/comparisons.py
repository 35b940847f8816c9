"""All tests of one table against one reference: a family, corrected as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkdr_monai.comparison.scores import COLUMNS, Scores
from pkdr_monai.comparison.statistics import PairedTest, holm, paired_test

__all__ = ["SIGNIFICANT", "Comparison", "compare"]

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """One method against the reference, on one choice of modalities, in one region or in the mean of the three.

    Args:
        cell: the method.
        modality: what both saw.
        column: one of :data:`~pkdr_monai.comparison.scores.COLUMNS`.
        test: the paired test over the cases.
        corrected_p: its p value after Holm's correction over the family.
        ahead: in how many seeds the method's mean over the cases is above that of the reference with the same seed.
        seeds: how many seeds both have.
        cases: how many cases both were tested on.
        folds_ahead: in how many folds the method's mean over cases and seeds is above that of the reference.
        folds: how many folds both were tested in; 0 where there is a single division.
    """

    cell: str
    modality: str
    column: str
    test: PairedTest
    corrected_p: float
    ahead: int
    seeds: int
    cases: int = 0
    folds_ahead: int = 0
    folds: int = 0

    @property
    def verdict(self) -> str:
        """Return ``"better"``, ``"worse"`` or ``"no difference shown"``."""
        if self.corrected_p >= SIGNIFICANT or self.test.direction == 0:
            return "no difference shown"
        return "better" if self.test.direction > 0 else "worse"


def compare(
    scores: Mapping[tuple[str, str], Scores], cells: Sequence[str], reference: str, modalities: Sequence[str]
) -> list[Comparison]:
    """Test methods against a reference on the cases of both, wherever both were run.

    Args:
        scores: of a study.
        cells: the methods; the reference among them is passed over.
        reference: the cell that they are compared with.
        modalities: choices of modalities.

    Returns:
        For each choice of modalities, method and column one comparison, corrected as one family.
    """
    found = []
    for modality in modalities:
        base = scores.get((reference, modality))
        for cell in cells:
            method = scores.get((cell, modality))
            if base is not None and method is not None and cell != reference:
                common = set(method.cases) & set(base.cases)
                if common:
                    found += [(method.on(common), base.on(common), column) for column in range(len(COLUMNS))]
    tests = [paired_test(method.case_means[:, c], base.case_means[:, c]) for method, base, c in found]
    corrected = holm([test.p for test in tests])
    return [
        Comparison(
            *(method.cell, method.modality, COLUMNS[c], test, float(p), *_ahead(method, base, c)),
            cases=len(method.cases),
            folds_ahead=sum(bool(mean[c] > base.fold_means[fold][c]) for fold, mean in method.fold_means.items()),
            folds=len(method.fold_means),
        )
        for (method, base, c), test, p in zip(found, tests, corrected, strict=True)
    ]


def _ahead(method: Scores, base: Scores, column: int) -> tuple[int, int]:
    """Return in how many of the seeds that both have the method is ahead, and how many those are."""
    common = sorted(set(method.seeds) & set(base.seeds))
    ahead = sum(
        bool(method.seed_means[method.seeds.index(seed), column] > base.seed_means[base.seeds.index(seed), column])
        for seed in common
    )
    return ahead, len(common)

"""The table of docs/weights.md: Dice and HD95 of each subset of the modalities, from the scores of each case.

python -m experiments.weights_table experiments/results/weights/evaluation_subsets.csv
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

REGIONS = ("wt", "tc", "et")


def rows(path: Path) -> Iterator[str]:
    """Return the lines of the table, in Markdown; the subset with the best mean Dice first."""
    with path.open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    groups: dict[str, list[dict[str, str]]] = {}
    for score in scores:
        groups.setdefault(score["modalities"], []).append(score)
    cases = len(next(iter(groups.values())))
    yield f"| modalities ({cases} cases) | WT | TC | ET | mean | HD95 WT | HD95 TC | HD95 ET |"
    yield "|---|---|---|---|---|---|---|---|"
    lines = []
    for modalities, group in groups.items():
        dice = {region: [float(score[f"dice_{region}"]) for score in group] for region in REGIONS}
        means = {region: statistics.fmean(values) for region, values in dice.items()}
        cells = [f"{means[region]:.3f} ± {statistics.stdev(dice[region]):.2f}" for region in REGIONS]
        mean = statistics.fmean(means.values())
        cells.append(f"{mean:.3f}")
        cells += [f"{statistics.median(float(score[f'hd95_{region}']) for score in group):.1f}" for region in REGIONS]
        lines.append((mean, f"| {modalities.replace('+', ', ')} | {' | '.join(cells)} |"))
    yield from (line for _, line in sorted(lines, reverse=True))


if __name__ == "__main__":
    sys.stdout.write("\n".join(rows(Path(sys.argv[1]))) + "\n")
